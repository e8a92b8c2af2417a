// Package fault defines the errors that a caller may see: a kind (what the
// caller can do about it), a code (stable, for programs), a param (the field, as
// the caller wrote it) and a sentence that says what to do. Packages return
// faults to the api package, and only api/error.go turns a kind into an HTTP
// status. The cause of a fault is for the log and is never part of the sentence.
package fault

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Kind classifies an error by what the caller can do about it.
type Kind uint8

// The kinds, in the order of docs/errors.md.
const (
	Invalid              Kind = iota + 1 // the request is wrong: change it
	Unauthenticated                      // no API key, or one that is not valid
	PaymentRequired                      // not enough credit
	Forbidden                            // this key may not do this
	NotFound                             // the account has no such object
	MethodNotAllowed                     // the path exists, the method does not
	TimedOut                             // the request did not arrive in time
	Gone                                 // it existed, and its retention time is over
	TooLarge                             // the body has more bytes than are accepted
	UnsupportedMediaType                 // the media type is not accepted
	RateLimited                          // the caller exceeded its own limit: wait and retry
	Internal                             // a bug or a failure of the server
	Unavailable                          // temporary: retry later
)

// Code is a stable identifier for programs. All codes are in codes.go.
type Code string

// Fault is one error of a request, and may carry further errors of the same
// request.
type Fault struct {
	Kind       Kind
	Code       Code
	Param      string        // the field as the caller wrote it, "extra_body.seed"; "" if no field caused the error
	Detail     string        // a sentence for people that says what to do
	RetryAfter time.Duration // for RateLimited and Unavailable: when to retry; 0 is not known
	Others     []Fault       // the other errors of the same request, in the order of its body
	cause      error
}

// New returns a fault. Its kind is the kind of its code.
func New(code Code, param, detail string) *Fault {
	return &Fault{Kind: code.Kind(), Code: code, Param: param, Detail: detail}
}

// WithCause sets the cause, which is for the log and never for the caller, and
// returns f.
func (f *Fault) WithCause(err error) *Fault {
	f.cause = err
	return f
}

// Error returns the sentence, without the cause.
func (f *Fault) Error() string {
	if f.Param != "" {
		return f.Param + ": " + f.Detail
	}

	return f.Detail
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }

// All returns the fault and its others, in order.
func (f *Fault) All() []Fault {
	first := *f
	first.Others = nil

	return append([]Fault{first}, f.Others...)
}

// Join makes one fault of many: the first one leads, and the rest are its
// Others. It returns nil if there are none.
func Join(faults []Fault) *Fault {
	if len(faults) == 0 {
		return nil
	}

	f := faults[0]
	f.Others = slices.Clone(faults[1:])

	return &f
}

// From returns the fault in an error's chain. If there is none it returns an
// Internal fault with err as its cause, whose sentence tells nothing about the
// cause.
func From(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}

	return New(CodeInternal, "", "Something went wrong on our side. Nothing was charged for this request. Retry it, and report the request id if the error persists.").WithCause(err)
}

// Is reports whether err is a fault with this code.
func Is(err error, code Code) bool {
	var f *Fault
	return errors.As(err, &f) && f.Code == code
}

// Info describes a code, for docs/errors.md.
type Info struct {
	Code    Code
	Kind    Kind
	Meaning string // one sentence: when it happens and what to do
}

// Codes lists every code, ordered by kind and then by name.
func Codes() []Info {
	list := make([]Info, 0, len(codes))
	for code, c := range codes {
		list = append(list, Info{Code: code, Kind: c.kind, Meaning: c.meaning})
	}

	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Code, b.Code))
	})

	return list
}

// Kind returns the kind of the code. A code that is not in codes.go is a bug, so
// its kind is Internal.
func (c Code) Kind() Kind {
	if info, ok := codes[c]; ok {
		return info.kind
	}

	return Internal
}

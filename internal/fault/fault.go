// Package fault is the one vocabulary of errors that a caller may see: a kind
// (what sort of trouble), a code (stable, for programs), a param (the field, as
// the caller wrote it) and a sentence that says what to do. Every room returns
// faults at its border; only api/problem.go turns a kind into an HTTP status.
// The cause is for the log and is never part of the sentence.
package fault

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Kind is what sort of trouble it is: what the caller can do about it.
type Kind uint8

// The kinds, in the order of docs/errors.md.
const (
	Invalid         Kind = iota + 1 // the request is wrong: change it
	Unauthenticated                 // no key, or not a valid one
	Unpaid                          // not enough credit
	Forbidden                       // this key may not do this
	NotFound                        // no such thing for this account
	NotAllowed                      // the path exists, the method does not
	TimedOut                        // the request did not arrive in time
	Gone                            // it was here, and its time is over
	TooLarge                        // more bytes than are taken
	WrongType                       // a media type that is not taken
	Limited                         // the caller's own limit: wait and repeat
	Internal                        // our mistake
	Unavailable                     // for now: repeat later
)

// Code is the stable word for programs. All of them are in codes.go.
type Code string

// Fault is one thing that is wrong, and maybe more beside it.
type Fault struct {
	Kind   Kind
	Code   Code
	Param  string        // the field as the caller wrote it, "extra_body.seed"; "" when no field is to blame
	Detail string        // a sentence for people that says what to do
	After  time.Duration // for Limited and Unavailable: when to repeat; 0 says nothing
	More   []Fault       // everything else wrong with the same request, in the order of its body
	cause  error
}

// New makes a fault. Its kind is the code's.
func New(code Code, param, detail string) *Fault {
	return &Fault{Kind: code.Kind(), Code: code, Param: param, Detail: detail}
}

// Because adds the cause: for the log, never for the caller.
func (f *Fault) Because(err error) *Fault {
	f.cause = err
	return f
}

// Error is the sentence. The cause is not in it.
func (f *Fault) Error() string {
	if f.Param != "" {
		return f.Param + ": " + f.Detail
	}

	return f.Detail
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.cause }

// All is the fault and everything beside it, in order.
func (f *Fault) All() []Fault {
	first := *f
	first.More = nil

	return append([]Fault{first}, f.More...)
}

// Join makes one fault of many: the first leads, the others stand in More. It
// returns nil for none.
func Join(list []Fault) *Fault {
	if len(list) == 0 {
		return nil
	}

	f := list[0]
	f.More = slices.Clone(list[1:])

	return &f
}

// From finds the fault in an error's chain. What is none becomes an Internal
// fault that says nothing of the inside and keeps err as its cause.
func From(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}

	return New(CodeInternal, "", "Something went wrong on our side. Nothing was charged for this request; repeat it, and name the request id if it goes on.").Because(err)
}

// Is says whether err is a fault with this code.
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

// Codes lists every code, by kind, then by name.
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

// Kind is the kind of trouble the code stands for; a code that is not in
// codes.go is our own mistake.
func (c Code) Kind() Kind {
	if info, ok := codes[c]; ok {
		return info.kind
	}

	return Internal
}

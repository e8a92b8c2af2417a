package catalog

import (
	"regexp"

	"github.com/shopspring/decimal"

	"github.com/unireel/unireel/internal/fault"
)

// Ask is what a customer asked for, as a dialect decoded it: every value with
// the name that the customer gave it and its place in the body. What is not
// given is the zero Given. Nothing in it has been checked but its JSON type.
type Ask struct {
	Model          Given[string]
	Prompt         Given[string]
	NegativePrompt Given[string]

	Image      Given[string]          // I2V: the one picture
	Videos     Given[[]Given[string]] // R2V: the first characters
	Images     Given[[]Given[string]] // R2V: the characters after the videos
	References Given[[]Pointed]       // R2V: characters in a mixed order, instead of both
	Audio      Given[string]          // guide audio
	Sound      Given[bool]            // selects within a family name

	Size     Given[string] // "1280*720" or "1280x720"
	Tier     Given[string] // "720p", for dialects that name no size; selects within a family name
	Format   Given[string] // "16:9", for dialects that name no size; chooses among the model's sizes
	Duration Given[Number] // seconds
	ShotType Given[string]
	Seed     Given[Number]

	PromptExpansion Given[bool]
	Watermark       Given[bool]

	Preview         Given[bool]
	StartBy         Given[Number] // unix seconds
	WebhookURL      Given[string]
	Metadata        Given[[]Pair]
	ReferencesCheck Given[string]

	Now      int64 // unix seconds: what start_by is held against
	Wordless bool  // a picture needs no prompt

	// Look says what else is wrong with a well-formed reference, as far as it can be
	// told without a network; nil looks at nothing.
	Look func(Reference) *fault.Fault
	// Retell says a prompt of R2V in our words, where the dialect has others for its
	// references; nil leaves it as it is. It is told the references in character order.
	Retell func(prompt string, references []Reference) string
	// LookHook is Look for a well-formed webhook URL.
	LookHook func(url string) *fault.Fault
	Names    map[string]string // UniAll's field name -> the dialect's, for what is missing; nil where they agree
	Faults   []Placed          // what the dialect found wrong itself; Validate reports it with the rest
}

// Given is a value as it was given.
type Given[T any] struct {
	Value T
	Param string // the field as the customer wrote it, "extra_body.seed"; "" when it was not given
	At    int    // its place in the body: a byte offset or a running number; it only orders faults
	Wrong bool   // given, but with a wrong type: Faults says so, Value is not set
}

// Give makes a Given.
func Give[T any](value T, param string, at int) Given[T] {
	return Given[T]{Value: value, Param: param, At: at}
}

// Has says whether it was given at all.
func (g Given[T]) Has() bool { return g.Param != "" }

// Fit says whether it was given and has its type.
func (g Given[T]) Fit() bool { return g.Param != "" && !g.Wrong }

func (g Given[T]) place() (string, int) { return g.Param, g.At }

// Pointed is one entry of a mixed list of references.
type Pointed struct {
	Type Given[string] // "image" or "video"; not given where the bytes are to say
	URL  Given[string]
}

// Pair is one entry of metadata.
type Pair struct {
	Key   string
	Value Given[string]
}

// Placed is a fault and the place in the body that it is about.
type Placed struct {
	At    int
	Fault fault.Fault
}

// Number is a number as it was written, so that no digit is lost on the way:
// "5", "5.0", "50e-1".
type Number string

var numberForm = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$`)

// Whole is the number as an integer, and false when it is none or does not fit.
func (n Number) Whole() (int64, bool) {
	if !numberForm.MatchString(string(n)) {
		return 0, false
	}

	d, err := decimal.NewFromString(string(n))
	if err != nil || !d.IsInteger() {
		return 0, false
	}

	i := d.BigInt()

	return i.Int64(), i.IsInt64()
}

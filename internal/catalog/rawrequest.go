package catalog

import (
	"regexp"

	"github.com/shopspring/decimal"

	"github.com/unireel/unireel/internal/fault"
)

// RawRequest is a customer's request as a dialect decoded it: every value with the name
// that the customer gave it and its position in the body. A field that was not sent is
// the zero Field. Only the JSON types have been checked.
type RawRequest struct {
	Model          Field[string]
	Prompt         Field[string]
	NegativePrompt Field[string]

	Image      Field[string]           // I2V: the one picture
	Videos     Field[[]Field[string]]  // R2V: the first characters
	Images     Field[[]Field[string]]  // R2V: the characters after the videos
	References Field[[]ReferenceInput] // R2V: characters in a mixed order, instead of Videos and Images
	Audio      Field[string]           // guide audio
	Sound      Field[bool]             // selects within a family name

	Size        Field[string] // "1280*720" or "1280x720"
	Tier        Field[string] // "720p", for dialects without a size; selects within a family name
	AspectRatio Field[string] // "16:9", for dialects without a size; chooses among the model's sizes
	Duration    Field[Number] // seconds
	ShotType    Field[string]
	Seed        Field[Number]

	PromptExpansion Field[bool]
	Watermark       Field[bool]

	Preview         Field[bool]
	StartBy         Field[Number] // unix seconds
	WebhookURL      Field[string]
	Metadata        Field[[]Pair]
	ReferencesCheck Field[string]

	Now            int64 // unix seconds; start_by is compared with it
	PromptOptional bool  // I2V accepts an empty prompt

	// CheckReference checks a well-formed reference further, as far as that is possible
	// without a network; nil checks nothing.
	CheckReference func(Reference) *fault.Fault
	// RewritePrompt translates an R2V prompt of a dialect that refers to its references in
	// other words than character1; nil leaves the prompt as it is. It gets the references
	// in character order.
	RewritePrompt func(prompt string, references []Reference) string
	// CheckWebhook checks a well-formed webhook URL further, as CheckReference does; nil
	// checks nothing.
	CheckWebhook func(url string) *fault.Fault
	FieldNames   map[string]string // UniAll's field name -> the dialect's, for faults about missing fields; nil if they agree
	Faults       []PositionedFault // the dialect's own findings; Validate reports them with the rest
}

// Field is one value of a request and where it was.
type Field[T any] struct {
	Value   T
	Param   string // the field as the customer wrote it, "extra_body.seed"; "" if it was not sent
	Pos     int    // its position in the body: a byte offset or a running number; used only to sort faults
	BadType bool   // sent, but with a wrong type: Faults reports that, and Value is not set
}

// NewField returns a Field that was sent with its correct type.
func NewField[T any](value T, param string, pos int) Field[T] {
	return Field[T]{Value: value, Param: param, Pos: pos}
}

// IsSet reports whether the field was sent at all.
func (f Field[T]) IsSet() bool { return f.Param != "" }

// Valid reports whether the field was sent and has the correct type.
func (f Field[T]) Valid() bool { return f.Param != "" && !f.BadType }

func (f Field[T]) location() (string, int) { return f.Param, f.Pos }

// ReferenceInput is one entry of a mixed list of references.
type ReferenceInput struct {
	Type Field[string] // "image" or "video"; not set if the bytes decide
	URL  Field[string]
}

// Pair is one entry of metadata.
type Pair struct {
	Key   string
	Value Field[string]
}

// PositionedFault is a fault and the position in the body that it is about.
type PositionedFault struct {
	Pos   int
	Fault fault.Fault
}

// Number is a number as the customer wrote it, so that no digit is lost: "5", "5.0",
// "50e-1".
type Number string

var numberPattern = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$`)

// Int64 returns the number as an integer, and false if it is not an integer or does not
// fit.
func (n Number) Int64() (int64, bool) {
	if !numberPattern.MatchString(string(n)) {
		return 0, false
	}

	d, err := decimal.NewFromString(string(n))
	if err != nil || !d.IsInteger() {
		return 0, false
	}

	i := d.BigInt()

	return i.Int64(), i.IsInt64()
}

package catalog

import (
	"fmt"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

// Quote is what a request can cost.
type Quote struct {
	UnitPrice money.Amount // per second
	Billing   Billing
	MaxMillis int64        // the most that can be billed
	Hold      money.Amount // the price of that
}

// Billing is a rule of what is billed. A task keeps the name of its rule, so a
// rule never changes: a supplier's new rule gets a new name.
type Billing string

// The rules.
const (
	BillOutput      Billing = "output"       // the seconds of the video
	BillInputOutput Billing = "input+output" // capped seconds of the reference videos, and those of the video
	BillWhole       Billing = "whole+output" // all seconds of the reference videos, and those of the video
	BillFree        Billing = "free"         // a preview
)

// inputCaps is how much of each reference video is billed, in milliseconds, by
// the number of all references, pictures too (dashscope.md 4.3).
var inputCaps = [...]int64{0, 5000, 2500, 1650, 1250, 1000}

// longestInput is the most that any rule bills for one reference video, and
// BillWhole for all: the supplier takes no more than 15 s of them together
// (wan3-video-generation-api-reference).
const longestInput = 15_000

// Millis is how many milliseconds the rule bills for a video of the given
// length. references counts all of the request's references, inputs has the
// length of each reference video in milliseconds.
func (b Billing) Millis(references int, inputs []int64, output int64) int64 {
	switch b {
	case BillFree:
		return 0
	case BillInputOutput:
		limit := inputCaps[max(0, min(references, len(inputCaps)-1))]
		for _, millis := range inputs {
			output += max(0, min(millis, limit))
		}
	case BillWhole:
		var sum int64
		for _, millis := range inputs {
			sum += max(0, min(millis, longestInput))
		}

		output += min(sum, longestInput)
	}

	return output
}

// Billed is how many milliseconds are billed for a request, given the probed
// length of each of its reference videos and that of the video made, in
// milliseconds. It is what is captured when the supplier reports no usage.
func (c *Catalog) Billed(r Request, inputMillis []int64, outputMillis int64) int64 {
	return c.billing(r).Millis(len(r.References), inputMillis, outputMillis)
}

func (c *Catalog) billing(r Request) Billing {
	m, ok := c.Model(r.Resolved)
	switch {
	case r.Preview:
		return BillFree
	case ok:
		return m.Price.Billing
	case r.Mode == R2V: // the model's file is gone; its tasks still end
		return BillInputOutput
	default:
		return BillOutput
	}
}

// Price says what a request costs per second and at most. A reference whose kind
// is not known yet may be a video, and is priced as one. A model that is not in
// the catalog is a fault.
func (c *Catalog) Price(r Request) (Quote, error) {
	m, ok := c.Model(r.Resolved)
	if !ok {
		return Quote{}, fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("The model %s is not offered.", quote(r.Resolved)))
	}

	if r.Preview {
		return Quote{Billing: BillFree}, nil
	}

	var inputs []int64

	for _, ref := range r.References {
		if ref.Kind != Image {
			inputs = append(inputs, longestInput)
		}
	}

	q := Quote{UnitPrice: m.UnitPrice, Billing: m.Price.Billing}
	q.MaxMillis = q.Billing.Millis(len(r.References), inputs, int64(r.Seconds)*1000)

	hold, err := q.UnitPrice.For(q.MaxMillis)
	if err != nil {
		return Quote{}, fmt.Errorf("price %s: %w", m.ID, err)
	}

	q.Hold = hold

	return q, nil
}

// Estimate is Validate and Price in one: what the request would be, and cost.
func (c *Catalog) Estimate(ask Ask) (Request, Quote, error) {
	r, err := c.Validate(ask)
	if err != nil {
		return Request{}, Quote{}, err
	}

	q, err := c.Price(r)

	return r, q, err
}

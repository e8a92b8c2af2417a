package catalog

import (
	"fmt"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

// Quote is the price of a request: per second, and at most.
type Quote struct {
	UnitPrice money.Amount // per second
	Billing   Billing
	MaxMillis int64        // the most that can be billed
	Hold      money.Amount // the price of that
}

// Billing is the rule by which seconds are billed. The name of the rule is stored with a
// task, so a rule never changes: a supplier's new rule gets a new name.
type Billing string

// The rules.
const (
	BillOutput          Billing = "output"       // the seconds of the video
	BillInputOutput     Billing = "input+output" // capped seconds of the reference videos, and those of the video
	BillFullInputOutput Billing = "whole+output" // all seconds of the reference videos, and those of the video
	BillFree            Billing = "free"         // a preview
)

// inputCapMillis is how much of each reference video is billed, in milliseconds, by
// the number of all references, pictures too (dashscope.md 4.3).
var inputCapMillis = [...]int64{0, 5000, 2500, 1650, 1250, 1000}

// maxInputMillis is the most that any rule bills for one reference video, and that
// BillFullInputOutput bills for all of them: the supplier accepts at most 15 s in total
// (wan3-video-generation-api-reference).
const maxInputMillis = 15_000

// Millis returns how many milliseconds the rule bills for a video of output milliseconds.
// references is the number of all of the request's references, inputs the duration of
// each reference video in milliseconds.
func (b Billing) Millis(references int, inputs []int64, output int64) int64 {
	switch b {
	case BillFree:
		return 0
	case BillInputOutput:
		limit := inputCapMillis[max(0, min(references, len(inputCapMillis)-1))]
		for _, millis := range inputs {
			output += max(0, min(millis, limit))
		}
	case BillFullInputOutput:
		var sum int64
		for _, millis := range inputs {
			sum += max(0, min(millis, maxInputMillis))
		}

		output += min(sum, maxInputMillis)
	}

	return output
}

// Billed returns how many milliseconds are billed for a request, given the measured
// duration of each of its reference videos and of the finished video, in
// milliseconds. The caller captures this amount if the supplier reports no usage.
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
	case r.Mode == R2V: // the model's file was removed, but its tasks still finish
		return BillInputOutput
	default:
		return BillOutput
	}
}

// Price returns what a request costs per second and at most. A reference whose kind is
// not known yet may be a video and is priced as one, with the longest duration that any
// rule bills: so what is captured later never exceeds the hold. A model that is not in
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
			inputs = append(inputs, maxInputMillis)
		}
	}

	q := Quote{UnitPrice: m.UnitPrice, Billing: m.Price.Billing}
	q.MaxMillis = q.Billing.Millis(len(r.References), inputs, int64(r.Seconds)*1000)

	hold, err := q.UnitPrice.ForMillis(q.MaxMillis)
	if err != nil {
		return Quote{}, fmt.Errorf("price %s: %w", m.ID, err)
	}

	q.Hold = hold

	return q, nil
}

// Estimate validates and prices a request in one call.
func (c *Catalog) Estimate(raw RawRequest) (Request, Quote, error) {
	r, err := c.Validate(raw)
	if err != nil {
		return Request{}, Quote{}, err
	}

	q, err := c.Price(r)

	return r, q, err
}

package catalog

import (
	"slices"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/fault"
)

// Bounds of what a customer may hang on a task.
const (
	maxPairs     = 16
	maxPairKey   = 64              // characters
	maxPairValue = 512             // characters
	maxWait      = 366 * 24 * 3600 // seconds that start_by may lie ahead; more are milliseconds
)

// MaxWebhook is the most bytes of a webhook's URL.
const MaxWebhook = 2048

// ours checks the fields that are not the supplier's but our own.
func (v *validation) ours() {
	a := v.ask
	v.out.Preview = a.Preview.Value
	v.metadata()

	if g := a.WebhookURL; g.Fit() {
		if problem := linkProblem(g.Value); problem != "" {
			v.wrong(g, fault.CodeInvalidValue, "%s A webhook URL is an http(s) URL.", problem)
		} else if len(g.Value) > MaxWebhook {
			v.wrong(g, fault.CodeInvalidValue, "The webhook URL is longer than %d bytes.", MaxWebhook)
		} else if a.LookHook != nil {
			if f := a.LookHook(g.Value); f != nil {
				v.wrong(g, f.Code, "%s", f.Detail)
			}
		}

		v.out.WebhookURL = g.Value
	}

	if g := a.StartBy; g.Fit() {
		at, ok := g.Value.Whole()
		switch {
		case !ok || at < 1:
			v.wrong(g, fault.CodeInvalidValue, "`start_by` is a time in whole unix seconds.")
		case at <= a.Now:
			v.wrong(g, fault.CodeInvalidValue, "`start_by` is past already: it is %d now (unix seconds).", a.Now)
		case at-a.Now > maxWait:
			v.wrong(g, fault.CodeInvalidValue, "`start_by` lies more than a year ahead; give unix seconds, not milliseconds.")
		}

		v.out.StartBy = at
	}

	if g := a.ReferencesCheck; g.Fit() {
		switch g.Value {
		case "probe":
		case "trust":
			v.out.ReferencesCheck = g.Value
		default:
			v.wrong(g, fault.CodeInvalidValue, "It must be probe (we look at the references first) or trust (only the supplier does).")
		}
	}
}

var reserved = []string{"total_time", "predict_time"} // the answer's metadata has numbers of ours there

func (v *validation) metadata() {
	g := v.ask.Metadata
	if len(g.Value) > maxPairs {
		v.wrong(g, fault.CodeInvalidValue, "There are %d pairs; at most %d are kept.", len(g.Value), maxPairs)
		return
	}

	for _, pair := range g.Value {
		n := utf8.RuneCountInString(pair.Key)
		switch {
		case slices.Contains(reserved, pair.Key):
			v.wrong(pair.Value, fault.CodeInvalidValue, "The name is reserved: answers put a time of ours there.")
		case n < 1 || n > maxPairKey || !IsText(pair.Key):
			v.wrong(pair.Value, fault.CodeInvalidValue, "A name has 1 to %d characters, none of them NUL.", maxPairKey)
		default:
			v.text(pair.Value, maxPairValue)
		}

		if v.out.Metadata == nil {
			v.out.Metadata = make(map[string]string, len(g.Value))
		}

		v.out.Metadata[pair.Key] = pair.Value.Value
	}
}

package catalog

import (
	"slices"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/fault"
)

// Limits of the fields that a customer may attach to a task.
const (
	maxPairs        = 16
	maxPairKey      = 64              // characters
	maxPairValue    = 512             // characters
	maxStartByAhead = 366 * 24 * 3600 // seconds that start_by may be in the future; a larger value is in milliseconds
)

// MaxWebhookURL is the maximum length of a webhook's URL, in bytes.
const MaxWebhookURL = 2048

// gatewayFields checks the fields that Unireel handles itself and no supplier sees.
func (v *validator) gatewayFields() {
	raw := v.raw
	v.request.Preview = raw.Preview.Value
	v.metadata()

	if field := raw.WebhookURL; field.Valid() {
		if problem := urlProblem(field.Value); problem != "" {
			v.addFault(field, fault.CodeInvalidValue, "%s A webhook needs an http(s) URL.", problem)
		} else if len(field.Value) > MaxWebhookURL {
			v.addFault(field, fault.CodeInvalidValue, "The webhook URL is longer than %d bytes.", MaxWebhookURL)
		} else if raw.CheckWebhook != nil {
			if f := raw.CheckWebhook(field.Value); f != nil {
				v.addFault(field, f.Code, "%s", f.Detail)
			}
		}

		v.request.WebhookURL = field.Value
	}

	if field := raw.StartBy; field.Valid() {
		startBy, ok := field.Value.Int64()
		switch {
		case !ok || startBy < 1:
			v.addFault(field, fault.CodeInvalidValue, "`start_by` is a time in whole unix seconds.")
		case startBy <= raw.Now:
			v.addFault(field, fault.CodeInvalidValue, "`start_by` is in the past: the time is %d now (unix seconds).", raw.Now)
		case startBy-raw.Now > maxStartByAhead:
			v.addFault(field, fault.CodeInvalidValue, "`start_by` is more than a year ahead; give unix seconds, not milliseconds.")
		}

		v.request.StartBy = startBy
	}

	if field := raw.ReferencesCheck; field.Valid() {
		switch field.Value {
		case "probe":
		case "trust":
			v.request.ReferencesCheck = field.Value
		default:
			v.addFault(field, fault.CodeInvalidValue, "It must be probe (Unireel checks the references first) or trust (only the supplier checks them).")
		}
	}
}

var reservedMetadataKeys = []string{"total_time", "predict_time"} // the answer's metadata has numbers of Unireel there

func (v *validator) metadata() {
	field := v.raw.Metadata
	if len(field.Value) > maxPairs {
		v.addFault(field, fault.CodeInvalidValue, "There are %d pairs; at most %d are accepted.", len(field.Value), maxPairs)
		return
	}

	for _, pair := range field.Value {
		length := utf8.RuneCountInString(pair.Key)
		switch {
		case slices.Contains(reservedMetadataKeys, pair.Key):
			v.addFault(pair.Value, fault.CodeInvalidValue, "The name is reserved: answers have a time of Unireel there.")
		case length < 1 || length > maxPairKey || !IsText(pair.Key):
			v.addFault(pair.Value, fault.CodeInvalidValue, "A name has 1 to %d characters, none of them NUL.", maxPairKey)
		default:
			v.checkText(pair.Value, maxPairValue)
		}

		if v.request.Metadata == nil {
			v.request.Metadata = make(map[string]string, len(field.Value))
		}

		v.request.Metadata[pair.Key] = pair.Value.Value
	}
}

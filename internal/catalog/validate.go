package catalog

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/fault"
)

// Validate makes a Request of what was asked, or returns a *fault.Fault that
// names everything that is wrong with it at once, in the order of the body, what
// is missing last. Nothing is fetched: of references only the syntax is looked
// at. What stops nothing is in the Request's Warnings.
func (c *Catalog) Validate(ask Ask) (Request, error) {
	v := &validation{catalog: c, ask: ask, faults: slices.Clone(ask.Faults)}
	v.resolve()
	v.texts()
	v.references()
	v.guideAudio()
	v.numbers()
	v.shots()
	v.ours()

	if len(v.faults) > 0 {
		return Request{}, v.verdict()
	}

	return v.out, nil
}

// MaxFaults bounds how much is reported at once: a body of nothing but mistakes
// must not make an answer as large.
const MaxFaults = 100

// validation is one run of Validate. model is nil when the asked one does not
// exist; what depends on it is then left unchecked.
type validation struct {
	catalog *Catalog
	ask     Ask
	model   *Model
	out     Request
	faults  []Placed
}

// placed is a Given of any type.
type placed interface{ place() (string, int) }

func (v *validation) wrong(g placed, code fault.Code, format string, args ...any) {
	param, at := g.place()
	v.faults = append(v.faults, Placed{At: at, Fault: *fault.New(code, param, fmt.Sprintf(format, args...))})
}

// missing reports a field that is not there, behind all that are.
func (v *validation) missing(field, format string, args ...any) {
	v.faults = append(v.faults, Placed{At: math.MaxInt, Fault: *fault.New(fault.CodeMissingField, v.name(field), fmt.Sprintf(format, args...))})
}

// name is what the dialect calls a field of UniAll's.
func (v *validation) name(field string) string {
	if name, ok := v.ask.Names[field]; ok {
		return name
	}

	return field
}

func (v *validation) warn(g placed, code fault.Code, format string, args ...any) {
	param, _ := g.place()
	v.out.Warnings = append(v.out.Warnings, Warning{Code: string(code), Message: fmt.Sprintf(format, args...), Param: param})
}

func (v *validation) verdict() *fault.Fault {
	slices.SortStableFunc(v.faults, func(a, b Placed) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}

		return 0
	})

	list := make([]fault.Fault, 0, min(len(v.faults), MaxFaults))
	for _, p := range v.faults[:min(len(v.faults), MaxFaults)] {
		list = append(list, p.Fault)
	}

	return fault.Join(list)
}

func (v *validation) sheet() ModeSheet { return v.model.Modes[v.out.Mode] }

func (v *validation) texts() {
	promptMax := math.MaxInt
	negativeMax := math.MaxInt

	if v.model != nil {
		promptMax = v.model.PromptMax
		negativeMax = v.model.NegativePromptMax
	}

	a := v.ask
	switch {
	case a.Prompt.Wrong:
	case a.Prompt.Value == "" && a.Wordless && v.out.Mode == I2V:
	case strings.TrimSpace(a.Prompt.Value) == "" && a.Prompt.Has():
		v.wrong(a.Prompt, fault.CodeMissingField, "The prompt is empty; say what the video shall show.")
	case !a.Prompt.Has():
		v.missing("prompt", "Say in `prompt` what the video shall show.")
	default:
		v.text(a.Prompt, promptMax)
	}

	if negativeMax == 0 && a.NegativePrompt.Value != "" {
		v.wrong(a.NegativePrompt, fault.CodeInvalidValue, "%s takes no negative prompt; say in the prompt what must not be seen.", v.model.ID)
	} else {
		v.text(a.NegativePrompt, negativeMax)
	}

	v.out.Prompt = a.Prompt.Value
	v.out.NegativePrompt = a.NegativePrompt.Value
}

// IsText says whether every database keeps this as text: UTF-8 without NUL.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// text holds a text to its length in characters.
func (v *validation) text(g Given[string], most int) {
	if !g.Fit() {
		return
	}

	if !IsText(g.Value) {
		v.wrong(g, fault.CodeInvalidValue, "The text has bytes that are no UTF-8, or a NUL character; take them out.")
	} else if n := utf8.RuneCountInString(g.Value); n > most {
		v.wrong(g, fault.CodeInvalidValue, "The text has %d characters; at most %d are taken.", n, most)
	}
}

func (v *validation) numbers() {
	v.seconds()

	v.out.Seed = -1
	if g := v.ask.Seed; g.Fit() {
		seed, ok := g.Value.Whole()
		if !ok || seed < -1 || seed > math.MaxInt32 {
			v.wrong(g, fault.CodeInvalidValue, "The seed must be -1 (random) or a whole number from 0 to %d.", math.MaxInt32)
		}

		v.out.Seed = seed
	}
}

func (v *validation) seconds() {
	g := v.ask.Duration
	if v.model == nil {
		if g.Fit() {
			if n, ok := g.Value.Whole(); !ok || n < 1 {
				v.wrong(g, fault.CodeInvalidValue, "The duration must be a whole number of seconds.")
			}
		}

		return
	}

	span := v.model.Seconds
	v.out.Seconds = span.Default

	if !g.Fit() {
		return
	}

	n, ok := g.Value.Whole()
	if !ok || n < int64(span.Min) || n > int64(span.Max) {
		v.wrong(g, fault.CodeInvalidValue, "The duration must be a whole number of seconds from %d to %d for %s.", span.Min, span.Max, v.model.ID)
		return
	}

	if most := v.sheet().VideoSeconds; most > 0 && n > int64(most) && slices.ContainsFunc(v.out.References, func(r Reference) bool { return r.Kind == Video }) {
		v.wrong(g, fault.CodeInvalidValue, "With a reference video %s makes at most %d seconds.", v.model.ID, most)
	}

	v.out.Seconds = int(n)
}

func (v *validation) shots() {
	a := v.ask

	types := []string{"single", "multi"}
	if v.model != nil {
		types = v.model.ShotTypes
	}

	v.out.ShotType = types[0]
	if a.ShotType.Fit() {
		if !slices.Contains(types, a.ShotType.Value) {
			hint := ""
			if len(types) == 1 && a.ShotType.Value == "multi" {
				hint = " This model takes its shots from the prompt: describe each there."
			}

			v.wrong(a.ShotType, fault.CodeInvalidValue, "The shot type must be %s.%s", either(types), hint)
		}

		v.out.ShotType = a.ShotType.Value
	}

	v.out.PromptExpansion = chosen(a.PromptExpansion)

	v.out.Watermark = chosen(a.Watermark)
	if v.model != nil && v.sheet().MultiNeedsExpansion && v.out.ShotType == "multi" && v.out.PromptExpansion != nil && !*v.out.PromptExpansion {
		v.warn(a.ShotType, fault.CodeUnused, "%s heeds the shot type only when enable_prompt_expansion is not false.", v.model.ID)
	}
}

func chosen(g Given[bool]) *bool {
	if !g.Fit() {
		return nil
	}

	return &g.Value
}

var character = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// characters warns of every characterN that the references do not reach to.
func (v *validation) characters() {
	var seen []string

	for _, m := range character.FindAllStringSubmatch(v.out.Prompt, -1) {
		n, err := strconv.Atoi(m[1])
		if err == nil && n >= 1 && n <= len(v.out.References) || slices.Contains(seen, m[1]) {
			continue
		}

		if seen = append(seen, m[1]); len(seen) > 10 {
			return
		}

		v.warn(v.ask.Prompt, fault.CodeNoSuchCharacter, "The prompt names %s, but there are %d references.", quote(m[0]), len(v.out.References))
	}
}

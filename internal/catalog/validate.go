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

// Validate converts a RawRequest to a Request, or returns a *fault.Fault that lists
// everything that is wrong, in the order of the body, missing fields last. Nothing is
// fetched: only the syntax of references is checked. Findings that do not prevent the
// video are in the Request's Warnings.
func (c *Catalog) Validate(raw RawRequest) (Request, error) {
	v := &validator{catalog: c, raw: raw, faults: slices.Clone(raw.Faults)}
	v.resolveModel()
	v.prompts()
	v.references()
	v.guideAudio()
	v.durationAndSeed()
	v.shotOptions()
	v.gatewayFields()

	if len(v.faults) > 0 {
		return Request{}, v.joinFaults()
	}

	return v.request, nil
}

// MaxFaults limits how many faults are reported at once, so that a large body full of
// mistakes does not cause an equally large answer.
const MaxFaults = 100

// validator is one run of Validate. model is nil if the requested model does not exist;
// checks that depend on it are then skipped.
type validator struct {
	catalog *Catalog
	raw     RawRequest
	model   *Model
	request Request
	faults  []PositionedFault
}

// located is a Field of any type.
type located interface{ location() (string, int) }

func (v *validator) addFault(field located, code fault.Code, format string, args ...any) {
	param, pos := field.location()
	v.faults = append(v.faults, PositionedFault{Pos: pos, Fault: *fault.New(code, param, fmt.Sprintf(format, args...))})
}

// addMissing reports a missing field. Such faults come after all others.
func (v *validator) addMissing(field, format string, args ...any) {
	v.faults = append(v.faults, PositionedFault{Pos: math.MaxInt, Fault: *fault.New(fault.CodeMissingField, v.fieldName(field), fmt.Sprintf(format, args...))})
}

// fieldName returns the dialect's name of a UniAll field.
func (v *validator) fieldName(field string) string {
	if name, ok := v.raw.FieldNames[field]; ok {
		return name
	}

	return field
}

func (v *validator) addWarning(field located, code fault.Code, format string, args ...any) {
	param, _ := field.location()
	v.request.Warnings = append(v.request.Warnings, Warning{Code: string(code), Message: fmt.Sprintf(format, args...), Param: param})
}

func (v *validator) joinFaults() *fault.Fault {
	slices.SortStableFunc(v.faults, func(a, b PositionedFault) int {
		switch {
		case a.Pos < b.Pos:
			return -1
		case a.Pos > b.Pos:
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

func (v *validator) modeSpec() ModeSpec { return v.model.Modes[v.request.Mode] }

func (v *validator) prompts() {
	promptMax := math.MaxInt
	negativeMax := math.MaxInt

	if v.model != nil {
		promptMax = v.model.PromptMax
		negativeMax = v.model.NegativePromptMax
	}

	raw := v.raw
	switch {
	case raw.Prompt.BadType:
	case raw.Prompt.Value == "" && raw.PromptOptional && v.request.Mode == I2V:
	case strings.TrimSpace(raw.Prompt.Value) == "" && raw.Prompt.IsSet():
		v.addFault(raw.Prompt, fault.CodeMissingField, "The prompt is empty; describe the video in it.")
	case !raw.Prompt.IsSet():
		v.addMissing("prompt", "Describe the video in `prompt`.")
	default:
		v.checkText(raw.Prompt, promptMax)
	}

	// A model without a negative prompt has the limit 0; an empty one is harmless.
	if negativeMax == 0 && raw.NegativePrompt.Value != "" {
		v.addFault(raw.NegativePrompt, fault.CodeInvalidValue, "%s accepts no negative prompt; say in the prompt what the video must not show.", v.model.ID)
	} else {
		v.checkText(raw.NegativePrompt, negativeMax)
	}

	v.request.Prompt = raw.Prompt.Value
	v.request.NegativePrompt = raw.NegativePrompt.Value
}

// IsText reports whether every database can store s as text: UTF-8 without NUL.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// checkText checks a text's encoding, and its length in characters.
func (v *validator) checkText(field Field[string], maxLength int) {
	if !field.Valid() {
		return
	}

	if !IsText(field.Value) {
		v.addFault(field, fault.CodeInvalidValue, "The text has bytes that are not UTF-8, or a NUL character; remove them.")
	} else if n := utf8.RuneCountInString(field.Value); n > maxLength {
		v.addFault(field, fault.CodeInvalidValue, "The text has %d characters; at most %d are accepted.", n, maxLength)
	}
}

func (v *validator) durationAndSeed() {
	v.duration()

	v.request.Seed = -1
	if field := v.raw.Seed; field.Valid() {
		seed, ok := field.Value.Int64()
		if !ok || seed < -1 || seed > math.MaxInt32 {
			v.addFault(field, fault.CodeInvalidValue, "The seed must be -1 (random) or a whole number from 0 to %d.", math.MaxInt32)
		}

		v.request.Seed = seed
	}
}

func (v *validator) duration() {
	field := v.raw.Duration
	if v.model == nil {
		if field.Valid() {
			if n, ok := field.Value.Int64(); !ok || n < 1 {
				v.addFault(field, fault.CodeInvalidValue, "The duration must be a whole number of seconds.")
			}
		}

		return
	}

	allowed := v.model.Seconds
	v.request.Seconds = allowed.Default

	if !field.Valid() {
		return
	}

	n, ok := field.Value.Int64()
	if !ok || n < int64(allowed.Min) || n > int64(allowed.Max) {
		v.addFault(field, fault.CodeInvalidValue, "The duration must be a whole number of seconds from %d to %d for %s.", allowed.Min, allowed.Max, v.model.ID)
		return
	}

	isVideo := func(r Reference) bool { return r.Kind == Video }
	if maxSeconds := v.modeSpec().MaxSecondsWithVideo; maxSeconds > 0 && n > int64(maxSeconds) && slices.ContainsFunc(v.request.References, isVideo) {
		v.addFault(field, fault.CodeInvalidValue, "With a reference video %s makes at most %d seconds.", v.model.ID, maxSeconds)
	}

	v.request.Seconds = int(n)
}

func (v *validator) shotOptions() {
	raw := v.raw

	types := []string{"single", "multi"}
	if v.model != nil {
		types = v.model.ShotTypes
	}

	v.request.ShotType = types[0]
	if raw.ShotType.Valid() {
		if !slices.Contains(types, raw.ShotType.Value) {
			hint := ""
			if len(types) == 1 && raw.ShotType.Value == "multi" {
				hint = " This model takes the shots from the prompt: describe each one there."
			}

			v.addFault(raw.ShotType, fault.CodeInvalidValue, "The shot type must be %s.%s", joinOr(types), hint)
		}

		v.request.ShotType = raw.ShotType.Value
	}

	v.request.PromptExpansion = optionalBool(raw.PromptExpansion)

	v.request.Watermark = optionalBool(raw.Watermark)

	noExpansion := v.request.PromptExpansion != nil && !*v.request.PromptExpansion
	if v.model != nil && v.modeSpec().MultiShotNeedsExpansion && v.request.ShotType == "multi" && noExpansion {
		v.addWarning(raw.ShotType, fault.CodeValueNotUsed, "%s uses the shot type only if enable_prompt_expansion is not false.", v.model.ID)
	}
}

func optionalBool(field Field[bool]) *bool {
	if !field.Valid() {
		return nil
	}

	return &field.Value
}

var characterPattern = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// warnUnknownCharacters warns about every characterN in the prompt for which there is no
// reference, at most ten of them.
func (v *validator) warnUnknownCharacters() {
	var seen []string

	for _, m := range characterPattern.FindAllStringSubmatch(v.request.Prompt, -1) {
		n, err := strconv.Atoi(m[1])
		if err == nil && n >= 1 && n <= len(v.request.References) || slices.Contains(seen, m[1]) {
			continue
		}

		if seen = append(seen, m[1]); len(seen) > 10 {
			return
		}

		v.addWarning(v.raw.Prompt, fault.CodeUnknownCharacter, "The prompt names %s, but there are %d references.", quote(m[0]), len(v.request.References))
	}
}

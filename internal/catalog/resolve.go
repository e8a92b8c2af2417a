package catalog

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// resolveModel determines the model that is billed, its mode and the size.
func (v *validator) resolveModel() {
	field := v.raw.Model
	if !field.Valid() || field.Value == "" {
		if !field.BadType {
			v.addMissing("model", "Name the model in `model`; GET /v1/models lists them.")
		}

		v.checkSizeSyntax()

		return
	}

	v.request.Model = field.Value
	if m, ok := v.catalog.byID[field.Value]; ok {
		v.model = m
		v.request.Mode = v.chooseMode(m.ModeList())
		v.checkModelConflicts()
	} else if f, ok := v.catalog.families[field.Value]; ok {
		v.request.Mode = v.chooseMode(f.modes)
		v.model = v.chooseVariant(f)
	} else {
		hint := "GET /v1/models lists them."
		if suggestion, ok := Nearest(field.Value, v.catalog.allNames()); ok {
			hint = "Did you mean " + suggestion + "?"
		}

		v.addFault(field, fault.CodeUnknownModel, "There is no model %s. %s", quote(field.Value), hint)
		v.checkSizeSyntax()

		return
	}

	v.request.Resolved = v.model.ID
	v.request.Sound = v.model.Sound
	v.resolveSize()
}

// Modes returns the modes of a model or a family; nil if there is neither of this name.
func (c *Catalog) Modes(name string) []Mode {
	if m, ok := c.byID[name]; ok {
		return m.ModeList()
	}

	if f, ok := c.families[name]; ok {
		return slices.Clone(f.modes)
	}

	return nil
}

// LocalName translates a driver's supplier's name of a model to a name of this catalog. A
// name of this catalog is returned as it is; otherwise the result is the family of the
// first model with that supplier name, or that model's id if it has no family. An unknown
// name is returned as it is.
func (c *Catalog) LocalName(driver, name string) string {
	if c.Modes(name) != nil {
		return name
	}

	for _, m := range c.models {
		for _, mode := range m.ModeList() {
			if capability, ok := m.Capability(driver, mode); ok && capability.SupplierModel == name {
				return cmp.Or(m.Modes[mode].Family, m.ID)
			}
		}
	}

	return name
}

// chooseMode selects one of the modes of a model or a family by the fields that were
// sent.
func (v *validator) chooseMode(list []Mode) Mode {
	has := func(mode Mode) bool { return slices.Contains(list, mode) }

	refs := len(v.raw.Videos.Value)+len(v.raw.Images.Value)+len(v.raw.References.Value) > 0
	switch {
	case v.raw.Image.IsSet() && has(I2V):
		return I2V
	case refs && has(R2V):
		return R2V
	case has(T2V):
		return T2V
	}

	return list[0]
}

// checkModelConflicts reports fields that contradict the model's id.
func (v *validator) checkModelConflicts() {
	if field := v.raw.Sound; field.Valid() && field.Value != v.model.Sound {
		behaviour := "always makes videos with sound"
		if !v.model.Sound {
			behaviour = "always makes silent videos"
		}

		v.addFault(field, fault.CodeConflictingFields, "%s %s%s.", v.model.ID, behaviour, v.suggestVariant(func(m *Model) bool {
			return m.Tier == v.model.Tier && m.Sound == field.Value
		}))
	}

	if field := v.raw.Tier; field.Valid() && !strings.EqualFold(field.Value, v.model.Tier) {
		v.addFault(field, fault.CodeConflictingFields, "%s makes %s only%s.", v.model.ID, v.model.Tier, v.suggestVariant(func(m *Model) bool {
			return m.Sound == v.model.Sound && strings.EqualFold(m.Tier, field.Value)
		}))
	}
}

// suggestVariant returns "; ask for <id> instead" for the first member of the model's family
// that matches, or "".
func (v *validator) suggestVariant(matches func(*Model) bool) string {
	if f := v.catalog.families[v.modeSpec().Family]; f != nil {
		for _, m := range f.members {
			if matches(m) {
				return "; ask for " + m.ID + " instead"
			}
		}
	}

	return ""
}

// defaultTier is the tier of a family if the request has neither a size nor a tier.
const defaultTier = "1080p"

// chooseVariant selects a family's member by tier, size and sound. If no member fits, it
// reports that and returns the nearest one, so that the rest of the request can still be
// checked.
func (v *validator) chooseVariant(f *family) *Model {
	candidates := v.filterByTier(f)

	sound := !v.raw.Sound.Valid() || v.raw.Sound.Value
	for _, m := range candidates {
		if m.Sound == sound {
			return m
		}
	}

	if v.raw.Sound.Valid() {
		v.addFault(v.raw.Sound, fault.CodeInvalidValue, "%s has no such model: the videos of %s are always %s.", f.name, candidates[0].ID,
			map[bool]string{true: "with sound", false: "silent"}[candidates[0].Sound])
	}

	return candidates[0]
}

func (v *validator) filterByTier(f *family) []*Model {
	filter := func(matches func(*Model) bool) []*Model {
		return slices.DeleteFunc(slices.Clone(f.members), func(m *Model) bool { return !matches(m) })
	}
	if field := v.raw.Tier; field.Valid() {
		if candidates := filter(func(m *Model) bool { return strings.EqualFold(m.Tier, field.Value) }); len(candidates) > 0 {
			return candidates
		}

		v.addFault(field, fault.CodeInvalidValue, "%s makes %s.", f.name, joinOr(f.tiers()))
	} else if field := v.raw.Size; field.Valid() {
		if w, h, ok := parseSize(field.Value); ok {
			if candidates := filter(func(m *Model) bool { return slices.Contains(m.Sizes, formatSize(w, h)) }); len(candidates) > 0 {
				return candidates
			}
		}

		v.addFault(field, fault.CodeInvalidValue, "%s is not a size of %s, which makes %s.", quote(field.Value), f.name, joinOr(f.sizes()))
	}

	if candidates := filter(func(m *Model) bool { return m.Tier == defaultTier }); len(candidates) > 0 {
		return candidates
	}

	return f.members
}

func (f *family) tiers() []string {
	var list []string
	for _, m := range f.members {
		list = append(list, m.Tier)
	}

	slices.Sort(list)

	return slices.Compact(list)
}

// sizes returns every size of the family, tier by tier, in the order in which the models list them.
func (f *family) sizes() []string {
	byTier := slices.SortedStableFunc(slices.Values(f.members), func(a, b *Model) int {
		return cmp.Or(cmp.Compare(len(a.Tier), len(b.Tier)), cmp.Compare(a.Tier, b.Tier))
	})

	var list []string

	for _, m := range byTier {
		for _, size := range m.Sizes {
			if !slices.Contains(list, size) {
				list = append(list, size)
			}
		}
	}

	return list
}

// resolveSize determines size, width and height. For a family name without a tier,
// filterByTier has already reported a size that no member has.
func (v *validator) resolveSize() {
	field := v.raw.Size

	requested := v.model.Sizes[0]
	if field.Valid() {
		requested = field.Value
	} else if ratio := v.raw.AspectRatio; ratio.Valid() && !v.modeSpec().SizeFromImage {
		if requested = v.model.sizeForAspectRatio(ratio.Value); requested == "" {
			v.addFault(ratio, fault.CodeInvalidValue, "%s is not an aspect ratio of %s, which makes %s.", quote(ratio.Value), v.model.ID, joinOr(v.model.Sizes))
			return
		}
	}

	w, h, ok := parseSize(requested)

	size := formatSize(w, h)
	if !ok || !slices.Contains(v.model.Sizes, size) {
		if v.model.ID == v.request.Model || v.raw.Tier.Valid() {
			v.addFault(field, fault.CodeInvalidValue, "%s is not a size of %s, which makes %s%s.", quote(requested), v.model.ID, joinOr(v.model.Sizes),
				v.suggestVariant(func(m *Model) bool { return m.Sound == v.model.Sound && slices.Contains(m.Sizes, size) }))
		}

		return
	}

	v.request.Size = size
	v.request.RequestedSize = requested
	v.request.Width = w
	v.request.Height = h

	if field.Valid() && v.modeSpec().SizeFromImage {
		v.addWarning(field, fault.CodeSizeFromImage, "The picture's shape determines the size of this video; only the tier, %s, is kept.", v.model.Tier)
	}
}

// sizeForAspectRatio returns the model's size that is nearest to an aspect ratio like "4:3",
// or "" if none is near. A size need not match exactly, because sizes are multiples of a
// block: 1104*832 counts as 4:3.
func (m *Model) sizeForAspectRatio(ratio string) string {
	a, b, _ := strings.Cut(ratio, ":")
	width, errWidth := strconv.ParseUint(a, 10, 16)

	height, errHeight := strconv.ParseUint(b, 10, 16)
	if errWidth != nil || errHeight != nil || width == 0 || height == 0 {
		return ""
	}

	best := ""
	minDistance := 0.05

	for _, size := range m.Sizes {
		w, h, _ := parseSize(size)
		if distance := math.Abs(math.Log(float64(w) * float64(height) / (float64(h) * float64(width)))); distance < minDistance {
			best = size
			minDistance = distance
		}
	}

	return best
}

func (v *validator) checkSizeSyntax() {
	if field := v.raw.Size; field.Valid() {
		if _, _, ok := parseSize(field.Value); !ok {
			v.addFault(field, fault.CodeInvalidValue, "A size looks like 1280*720.")
		}
	}
}

package catalog

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// resolve finds the model that is billed, its mode, and the size.
func (v *validation) resolve() {
	g := v.ask.Model
	if !g.Fit() || g.Value == "" {
		if !g.Wrong {
			v.missing("model", "Say in `model` which model to use; GET /v1/models lists them.")
		}

		v.sizeWithoutModel()

		return
	}

	v.out.Model = g.Value
	if m, ok := v.catalog.models[g.Value]; ok {
		v.model = m
		v.out.Mode = v.modeAmong(m.ModeList())
		v.fixed()
	} else if f, ok := v.catalog.families[g.Value]; ok {
		v.out.Mode = v.modeAmong(f.modes)
		v.model = v.pick(f)
	} else {
		hint := "GET /v1/models lists them."
		if near, ok := Nearest(g.Value, v.catalog.names()); ok {
			hint = "Did you mean " + near + "?"
		}

		v.wrong(g, fault.CodeUnknownModel, "There is no model %s. %s", quote(g.Value), hint)
		v.sizeWithoutModel()

		return
	}

	v.out.Resolved = v.model.ID
	v.out.Sound = v.model.Sound
	v.size()
}

// Modes is what a model, or any of a family's, can make videos from; nil when there
// is neither of this name.
func (c *Catalog) Modes(name string) []Mode {
	if m, ok := c.models[name]; ok {
		return m.ModeList()
	}

	if f, ok := c.families[name]; ok {
		return slices.Clone(f.modes)
	}

	return nil
}

// Called is what is asked for here by a name that a kind of provider has: a name of
// ours is itself; else it is the family, or the first model, that is made there
// under that name. A name that nobody has is itself too.
func (c *Catalog) Called(provider, name string) string {
	if c.Modes(name) != nil {
		return name
	}

	for _, m := range c.list {
		for _, mode := range m.ModeList() {
			if s, ok := m.Supplier(provider, mode); ok && s.Model == name {
				return cmp.Or(m.Modes[mode].Family, m.ID)
			}
		}
	}

	return name
}

// modeAmong decides between the modes of a model or a family by what was given.
func (v *validation) modeAmong(list []Mode) Mode {
	has := func(mode Mode) bool { return slices.Contains(list, mode) }

	refs := len(v.ask.Videos.Value)+len(v.ask.Images.Value)+len(v.ask.References.Value) > 0
	switch {
	case v.ask.Image.Has() && has(I2V):
		return I2V
	case refs && has(R2V):
		return R2V
	case has(T2V):
		return T2V
	}

	return list[0]
}

// fixed checks that nothing contradicts what the model's id says.
func (v *validation) fixed() {
	if g := v.ask.Sound; g.Fit() && g.Value != v.model.Sound {
		made := "always makes videos with sound"
		if !v.model.Sound {
			made = "always makes silent videos"
		}

		v.wrong(g, fault.CodeConflict, "%s %s%s.", v.model.ID, made, v.sibling(func(m *Model) bool {
			return m.Tier == v.model.Tier && m.Sound == g.Value
		}))
	}

	if g := v.ask.Tier; g.Fit() && !strings.EqualFold(g.Value, v.model.Tier) {
		v.wrong(g, fault.CodeConflict, "%s makes %s only%s.", v.model.ID, v.model.Tier, v.sibling(func(m *Model) bool {
			return m.Sound == v.model.Sound && strings.EqualFold(m.Tier, g.Value)
		}))
	}
}

// sibling suggests the family's member that fits, "; ask for x instead", or nothing.
func (v *validation) sibling(fits func(*Model) bool) string {
	if f := v.catalog.families[v.sheet().Family]; f != nil {
		for _, m := range f.members {
			if fits(m) {
				return "; ask for " + m.ID + " instead"
			}
		}
	}

	return ""
}

// defaultTier is a family's when neither size nor tier is asked.
const defaultTier = "1080p"

// pick chooses a family's member by tier, size and sound. What cannot be had is
// reported, and the choice falls on what comes nearest, so that the rest of the
// request can still be checked.
func (v *validation) pick(f *family) *Model {
	left := v.pickTier(f)

	sound := !v.ask.Sound.Fit() || v.ask.Sound.Value
	for _, m := range left {
		if m.Sound == sound {
			return m
		}
	}

	if v.ask.Sound.Fit() {
		v.wrong(v.ask.Sound, fault.CodeInvalidValue, "%s makes no such videos: those of %s always come %s.", f.name, left[0].ID,
			map[bool]string{true: "with sound", false: "silent"}[left[0].Sound])
	}

	return left[0]
}

func (v *validation) pickTier(f *family) []*Model {
	only := func(fits func(*Model) bool) []*Model {
		return slices.DeleteFunc(slices.Clone(f.members), func(m *Model) bool { return !fits(m) })
	}
	if g := v.ask.Tier; g.Fit() {
		if left := only(func(m *Model) bool { return strings.EqualFold(m.Tier, g.Value) }); len(left) > 0 {
			return left
		}

		v.wrong(g, fault.CodeInvalidValue, "%s makes %s.", f.name, either(f.tiers()))
	} else if g := v.ask.Size; g.Fit() {
		if w, h, ok := splitSize(g.Value); ok {
			if left := only(func(m *Model) bool { return slices.Contains(m.Sizes, sizeText(w, h)) }); len(left) > 0 {
				return left
			}
		}

		v.wrong(g, fault.CodeInvalidValue, "%s is no size of %s, which makes %s.", quote(g.Value), f.name, either(f.sizes()))
	}

	if left := only(func(m *Model) bool { return m.Tier == defaultTier }); len(left) > 0 {
		return left
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

// sizes is every size of the family, tier by tier, each tier's in its own order.
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

// size settles width and height. A family that does not have the size has said
// so already.
func (v *validation) size() {
	g := v.ask.Size

	asked := v.model.Sizes[0]
	if g.Fit() {
		asked = g.Value
	} else if f := v.ask.Format; f.Fit() && !v.sheet().SizeFromPicture {
		if asked = v.model.sizeOf(f.Value); asked == "" {
			v.wrong(f, fault.CodeInvalidValue, "%s is no format of %s, which makes %s.", quote(f.Value), v.model.ID, either(v.model.Sizes))
			return
		}
	}

	w, h, ok := splitSize(asked)

	size := sizeText(w, h)
	if !ok || !slices.Contains(v.model.Sizes, size) {
		if v.model.ID == v.out.Model || v.ask.Tier.Fit() {
			v.wrong(g, fault.CodeInvalidValue, "%s is no size of %s, which makes %s%s.", quote(asked), v.model.ID, either(v.model.Sizes),
				v.sibling(func(m *Model) bool { return m.Sound == v.model.Sound && slices.Contains(m.Sizes, size) }))
		}

		return
	}

	v.out.Size = size
	v.out.SizeAsked = asked
	v.out.Width = w

	v.out.Height = h
	if g.Fit() && v.sheet().SizeFromPicture {
		v.warn(g, fault.CodeSizeFromPicture, "The picture's shape decides the size of this video; only its tier, %s, is kept.", v.model.Tier)
	}
}

// sizeOf is the model's size that comes nearest to a format like "4:3", or "" when
// none does: sizes are whole blocks, so that 1104*832 is 4:3.
func (m *Model) sizeOf(format string) string {
	a, b, _ := strings.Cut(format, ":")
	width, errWidth := strconv.ParseUint(a, 10, 16)

	height, errHeight := strconv.ParseUint(b, 10, 16)
	if errWidth != nil || errHeight != nil || width == 0 || height == 0 {
		return ""
	}

	best := ""
	nearest := 0.05

	for _, size := range m.Sizes {
		w, h, _ := splitSize(size)
		if d := math.Abs(math.Log(float64(w) * float64(height) / (float64(h) * float64(width)))); d < nearest {
			best = size
			nearest = d
		}
	}

	return best
}

func (v *validation) sizeWithoutModel() {
	if g := v.ask.Size; g.Fit() {
		if _, _, ok := splitSize(g.Value); !ok {
			v.wrong(g, fault.CodeInvalidValue, "A size looks like 1280*720.")
		}
	}
}

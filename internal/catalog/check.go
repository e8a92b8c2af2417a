package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

var (
	idForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
	sizeForm = regexp.MustCompile(`^([1-9][0-9]{1,4})[*xX]([1-9][0-9]{1,4})$`)
)

// rule is one thing that must hold of a model's file.
type rule struct {
	holds bool
	field string
	want  string
}

func firstBroken(rules []rule) error {
	for _, r := range rules {
		if !r.holds {
			return fmt.Errorf("%s: %s", r.field, r.want)
		}
	}

	return nil
}

// check says what is wrong with a model's file, by field.
func (m *Model) check() error {
	err := firstBroken([]rule{
		{idForm.MatchString(m.ID), "id", "want small letters, digits, dots and dashes"},
		{m.Title.EN != "" && m.Title.ZH != "", "title", "want a text for en and for zh"},
		{m.Description.EN != "" && m.Description.ZH != "", "description", "want a text for en and for zh"},
		{m.Tier != "", "tier", "want a name like 720p"},
		{len(m.Sizes) > 0, "sizes", "want at least one"},
		{m.Seconds.Min >= 1 && m.Seconds.Max <= 3600 && m.Seconds.Min <= m.Seconds.Max, "seconds", "want 1 <= min <= max <= 3600"},
		{m.Seconds.Default >= m.Seconds.Min && m.Seconds.Default <= m.Seconds.Max, "seconds.default", "want min <= default <= max"},
		{m.PromptMax > 0 && m.PromptMax <= 100_000, "prompt_max", "want 1 to 100000"},
		{m.NegativePromptMax >= 0 && m.NegativePromptMax <= 100_000, "negative_prompt_max", "want 0 to 100000"},
		{len(m.ShotTypes) > 0, "shot_types", "want at least one of single, multi"},
		{len(m.Modes) > 0, "modes", "want at least one of r2v, i2v, t2v"},
		{slices.Contains([]Billing{BillOutput, BillInputOutput, BillWhole}, m.Price.Billing), "price.billing", "want output, input+output or whole+output"},
	})
	if err != nil {
		return err
	}

	for i, size := range m.Sizes {
		if w, h, ok := splitSize(size); !ok || sizeText(w, h) != size || slices.Index(m.Sizes, size) != i {
			return fmt.Errorf("sizes[%d]: want W*H, each once", i)
		}
	}

	for i, shot := range m.ShotTypes {
		if shot != "single" && shot != "multi" {
			return fmt.Errorf("shot_types[%d]: want single or multi", i)
		}
	}

	for currency, price := range m.Price.PerSecond {
		if _, err := parsePrice(price, one); err != nil {
			return fmt.Errorf("price.per_second.%s: %w", currency, err)
		}
	}

	for _, mode := range m.ModeList() {
		if err := m.checkMode(mode, m.Modes[mode]); err != nil {
			return fmt.Errorf("modes.%s.%w", mode, err)
		}
	}

	return m.checkMedia()
}

func (m *Model) checkMode(mode Mode, s ModeSheet) error {
	n := s.References
	want := map[Mode]Counts{I2V: {Min: 1, Max: 1, Images: 1}, T2V: {}}
	fixed, isFixed := want[mode]

	err := firstBroken([]rule{
		{isFixed || mode == R2V, "", "want r2v, i2v or t2v"},
		{s.Family == "" || idForm.MatchString(s.Family), "family", "want small letters, digits, dots and dashes"},
		{slices.Contains([]GuideAudio{AudioDocumented, AudioUndocumented, AudioRefused}, s.GuideAudio), "guide_audio", "want documented, undocumented or refused"},
		{m.Sound || s.GuideAudio == AudioRefused, "guide_audio", "want refused, since the model has no sound"},
		{!isFixed || n == fixed, "references", fmt.Sprintf("%s takes %d pictures and no videos", mode, fixed.Images)},
		{isFixed || n.Min >= 1 && n.Min <= n.Max && n.Max < 100, "references", "want 1 <= min <= max"},
		{n.Images >= 0 && n.Videos >= 0 && max(n.Images, n.Videos) <= n.Max && n.Images+n.Videos >= n.Min, "references", "want images and videos that can come to min and not pass max"},
		{s.VideoSeconds == 0 || s.VideoSeconds >= m.Seconds.Default && s.VideoSeconds <= m.Seconds.Max, "video_seconds", "want seconds.default to seconds.max"},
		{s.TotalSeconds == 0 || s.TotalSeconds > m.Seconds.Default && s.TotalSeconds <= 3600, "total_seconds", "want more than seconds.default, and at most 3600"},
		{m.Price.Billing != BillInputOutput || n.Max < len(inputCaps), "references.max", fmt.Sprintf("the billing rule knows at most %d references", len(inputCaps)-1)},
	})
	if err != nil {
		return err
	}

	for provider, supply := range s.Suppliers {
		if provider == "" {
			return fmt.Errorf("suppliers: want kind of provider: name of the model there")
		}

		if err := supply.Check(); err != nil {
			return fmt.Errorf("suppliers.%s.%w", provider, err)
		}
	}

	needs := map[Kind]bool{Image: n.Images > 0, Video: n.Videos > 0, Audio: s.GuideAudio != AudioRefused}
	for _, kind := range []Kind{Image, Video, Audio} {
		if _, bounded := m.Media[kind]; needs[kind] && !bounded {
			return fmt.Errorf("references: media.%s is missing, though the mode takes it", kind)
		}
	}

	return nil
}

func (m *Model) checkMedia() error {
	for kind, b := range m.Media {
		err := firstBroken([]rule{
			{kind == Image || kind == Video || kind == Audio, "", "want image, video or audio"},
			{len(b.Formats) > 0, ".formats", "want at least one"},
			{b.MaxMegabytes >= 0 && b.MaxMegabytes <= 1<<20, ".max_megabytes", "want 0 to 1048576"},
			{b.MinPixels >= 0 && (b.MaxPixels == 0 || b.MaxPixels >= b.MinPixels), ".max_pixels", "want at least min_pixels"},
			{b.MinSeconds >= 0 && b.MaxSeconds <= 1<<20 && (b.MaxSeconds == 0 || b.MaxSeconds >= b.MinSeconds), ".max_seconds", "want at least min_seconds"},
			{b.TotalSeconds >= 0 && b.TotalSeconds <= 1<<20 && (b.TotalSeconds == 0 || b.TotalSeconds >= b.MinSeconds), ".total_seconds", "want at least min_seconds"},
			{m.Price.Billing != BillWhole || kind != Video || b.TotalSeconds > 0 && b.TotalSeconds*1000 <= longestInput, ".total_seconds", "want 1 to 15, since whole+output bills no more"},
			{b.MinFPS >= 0 && b.MinFPS <= 1000, ".min_fps", "want 0 to 1000"},
		})
		if err != nil {
			return fmt.Errorf("media.%s%w", kind, err)
		}

		for i, name := range b.Formats {
			if _, known := formats[name]; !known {
				return fmt.Errorf("media.%s.formats[%d]: %q is no format that is known", kind, i, name)
			}
		}
	}

	return nil
}

// splitSize reads "1280*720" or "1280x720".
func splitSize(size string) (width, height int, ok bool) {
	part := sizeForm.FindStringSubmatch(size)
	if part == nil {
		return 0, 0, false
	}

	width, _ = strconv.Atoi(part[1]) // at most five digits: the form says so
	height, _ = strconv.Atoi(part[2])

	return width, height, true
}

func sizeText(width, height int) string {
	return strconv.Itoa(width) + "*" + strconv.Itoa(height)
}

package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
	sizePattern = regexp.MustCompile(`^([1-9][0-9]{1,4})[*xX]([1-9][0-9]{1,4})$`)
)

// rule is one condition on a model's file.
type rule struct {
	holds   bool
	field   string
	message string
}

func firstViolation(rules []rule) error {
	for _, r := range rules {
		if !r.holds {
			return fmt.Errorf("%s: %s", r.field, r.message)
		}
	}

	return nil
}

// validate checks a model's file. The error names the field.
func (m *Model) validate() error {
	err := firstViolation([]rule{
		{idPattern.MatchString(m.ID), "id", "want lowercase letters, digits, dots and dashes"},
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
		{slices.Contains([]Billing{BillOutput, BillInputOutput, BillFullInputOutput}, m.Price.Billing), "price.billing", "want output, input+output or whole+output"},
	})
	if err != nil {
		return err
	}

	for i, size := range m.Sizes {
		if w, h, ok := parseSize(size); !ok || formatSize(w, h) != size || slices.Index(m.Sizes, size) != i {
			return fmt.Errorf("sizes[%d]: want W*H, each once", i)
		}
	}

	for i, shot := range m.ShotTypes {
		if shot != "single" && shot != "multi" {
			return fmt.Errorf("shot_types[%d]: want single or multi", i)
		}
	}

	for currency, price := range m.Price.PerSecond {
		if _, err := parsePrice(price, decimalOne); err != nil {
			return fmt.Errorf("price.per_second.%s: %w", currency, err)
		}
	}

	for _, mode := range m.ModeList() {
		if err := m.validateMode(mode, m.Modes[mode]); err != nil {
			return fmt.Errorf("modes.%s.%w", mode, err)
		}
	}

	return m.validateMedia()
}

func (m *Model) validateMode(mode Mode, spec ModeSpec) error {
	counts := spec.References
	fixedCounts := map[Mode]ReferenceLimits{I2V: {Min: 1, Max: 1, Images: 1}, T2V: {}}
	fixed, isFixed := fixedCounts[mode]

	err := firstViolation([]rule{
		{isFixed || mode == R2V, "", "want r2v, i2v or t2v"},
		{spec.Family == "" || idPattern.MatchString(spec.Family), "family", "want lowercase letters, digits, dots and dashes"},
		{slices.Contains([]GuideAudio{GuideAudioDocumented, GuideAudioUndocumented, GuideAudioUnsupported}, spec.GuideAudio), "guide_audio", "want documented, undocumented or refused"},
		{m.Sound || spec.GuideAudio == GuideAudioUnsupported, "guide_audio", "want refused, since the model has no sound"},
		{!isFixed || counts == fixed, "references", fmt.Sprintf("%s accepts %d pictures and no videos", mode, fixed.Images)},
		{isFixed || counts.Min >= 1 && counts.Min <= counts.Max && counts.Max < 100, "references", "want 1 <= min <= max"},
		{counts.Images >= 0 && counts.Videos >= 0 && max(counts.Images, counts.Videos) <= counts.Max && counts.Images+counts.Videos >= counts.Min, "references", "want images + videos of at least min, and neither above max"},
		{spec.MaxSecondsWithVideo == 0 || spec.MaxSecondsWithVideo >= m.Seconds.Default && spec.MaxSecondsWithVideo <= m.Seconds.Max, "video_seconds", "want seconds.default to seconds.max"},
		{spec.MaxTotalSeconds == 0 || spec.MaxTotalSeconds > m.Seconds.Default && spec.MaxTotalSeconds <= 3600, "total_seconds", "want more than seconds.default, and at most 3600"},
		{m.Price.Billing != BillInputOutput || counts.Max < len(inputCapMillis), "references.max", fmt.Sprintf("the billing rule covers at most %d references", len(inputCapMillis)-1)},
	})
	if err != nil {
		return err
	}

	for driver, capability := range spec.Suppliers {
		if driver == "" {
			return fmt.Errorf("suppliers: want a driver and its name of the model, like dashscope: wan2.6-t2v")
		}

		if err := capability.Validate(); err != nil {
			return fmt.Errorf("suppliers.%s.%w", driver, err)
		}
	}

	used := map[Kind]bool{Image: counts.Images > 0, Video: counts.Videos > 0, Audio: spec.GuideAudio != GuideAudioUnsupported}
	for _, kind := range []Kind{Image, Video, Audio} {
		if _, found := m.Media[kind]; used[kind] && !found {
			return fmt.Errorf("references: media.%s is missing, though the mode accepts it", kind)
		}
	}

	return nil
}

func (m *Model) validateMedia() error {
	for kind, limits := range m.Media {
		err := firstViolation([]rule{
			{kind == Image || kind == Video || kind == Audio, "", "want image, video or audio"},
			{len(limits.Formats) > 0, ".formats", "want at least one"},
			{limits.MaxMegabytes >= 0 && limits.MaxMegabytes <= 1<<20, ".max_megabytes", "want 0 to 1048576"},
			{limits.MinPixels >= 0 && (limits.MaxPixels == 0 || limits.MaxPixels >= limits.MinPixels), ".max_pixels", "want at least min_pixels"},
			{limits.MinSeconds >= 0 && limits.MaxSeconds <= 1<<20 && (limits.MaxSeconds == 0 || limits.MaxSeconds >= limits.MinSeconds), ".max_seconds", "want at least min_seconds"},
			{limits.TotalSeconds >= 0 && limits.TotalSeconds <= 1<<20 && (limits.TotalSeconds == 0 || limits.TotalSeconds >= limits.MinSeconds), ".total_seconds", "want at least min_seconds"},
			{m.Price.Billing != BillFullInputOutput || kind != Video || limits.TotalSeconds > 0 && limits.TotalSeconds*1000 <= maxInputMillis, ".total_seconds", "want 1 to 15, since whole+output bills at most 15"},
			{limits.MinFPS >= 0 && limits.MinFPS <= 1000, ".min_fps", "want 0 to 1000"},
		})
		if err != nil {
			return fmt.Errorf("media.%s%w", kind, err)
		}

		for i, name := range limits.Formats {
			if _, known := mediaTypes[name]; !known {
				return fmt.Errorf("media.%s.formats[%d]: %q is not a known format", kind, i, name)
			}
		}
	}

	return nil
}

// parseSize reads "1280*720" or "1280x720".
func parseSize(size string) (width, height int, ok bool) {
	part := sizePattern.FindStringSubmatch(size)
	if part == nil {
		return 0, 0, false
	}

	width, _ = strconv.Atoi(part[1]) // the pattern allows at most five digits
	height, _ = strconv.Atoi(part[2])

	return width, height, true
}

func formatSize(width, height int) string {
	return strconv.Itoa(width) + "*" + strconv.Itoa(height)
}

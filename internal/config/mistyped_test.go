package config

import (
	"slices"
	"testing"
)

func TestMistypedEnv(t *testing.T) {
	warnings, err := MistypedEnv([]string{
		"UNIREEL_ADR=:1", "UNIREEL_RETENTON=1h", "UNIREEL_ADDR=:1", "UNIREEL_WAVE_KEY=mine", "UNIREEL_URL=elsewhere's", "HOME=/root", "UNIREEL_MARKUP", "=x",
	}, "UNIREEL_URL")

	want := []string{
		"UNIREEL_ADR is set, but is not an option; did you mean UNIREEL_ADDR?",
		"UNIREEL_RETENTON is set, but is not an option; did you mean UNIREEL_RETENTION?",
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("MistypedEnv = %q, %v", warnings, err)
	}
}

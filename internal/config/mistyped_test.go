package config

import (
	"slices"
	"testing"
)

func TestAMistypedVariableIsTold(t *testing.T) {
	said, err := Mistyped([]string{
		"UNIREEL_ADR=:1", "UNIREEL_RETENTON=1h", "UNIREEL_ADDR=:1", "UNIREEL_WAVE_KEY=mine", "UNIREEL_URL=elsewhere's", "HOME=/root", "UNIREEL_MARKUP", "=x",
	}, "UNIREEL_URL")

	want := []string{
		"UNIREEL_ADR is set, but is no setting; did you mean UNIREEL_ADDR?",
		"UNIREEL_RETENTON is set, but is no setting; did you mean UNIREEL_RETENTION?",
	}
	if err != nil || !slices.Equal(said, want) {
		t.Errorf("said %q, %v", said, err)
	}
}

package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestFromHidesCause(t *testing.T) {
	f := From(fmt.Errorf("read: %w", errors.New("pq: relation task does not exist")))
	if f.Kind != Internal || strings.Contains(f.Error(), "relation") {
		t.Fatalf("an unknown error shows its cause: %v", f)
	}

	if !strings.Contains(errors.Unwrap(f).Error(), "relation") {
		t.Fatal("the cause is missing for the log")
	}
}

func TestFromUnwraps(t *testing.T) {
	f := New(CodeInsufficientCredit, "", "Add credit.")
	if got := From(fmt.Errorf("submit: %w", f)); got != f {
		t.Fatalf("got %v", got)
	}
}

func TestJoinKeepsOrder(t *testing.T) {
	if Join(nil) != nil {
		t.Fatal("Join(nil) is not nil")
	}

	f := Join([]Fault{*New(CodeMissingField, "prompt", "a"), *New(CodeInvalidValue, "size", "b")})
	if f.Param != "prompt" || len(f.All()) != 2 || f.All()[1].Param != "size" {
		t.Fatalf("got %+v", f.All())
	}
}

func TestEveryCodeHasMeaning(t *testing.T) {
	for _, c := range Codes() {
		if c.Kind == 0 || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("%s: kind %d, meaning %q", c.Code, c.Kind, c.Meaning)
		}
	}
}

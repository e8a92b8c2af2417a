package animatic

import "testing"

// Between two shots that look similar a flashback to an earlier reference is shown, if it
// clearly differs from both.
func TestSlatePrefersFlashback(t *testing.T) {
	f := &composer{previous: newFrame(64, 64), current: newFrame(64, 64), flashback: newFrame(64, 64)}
	f.previous.fill(100)
	f.current.fill(110)
	f.flashback.fill(220)

	if err := f.insertSlate(1, 5, 30); err != nil || f.slate.flashback != f.flashback || f.slate.until != 15 {
		t.Errorf("slate %+v, %v", f.slate, err)
	}
}

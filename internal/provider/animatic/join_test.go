package animatic

import "testing"

// Between two shots that look alike a film looks back at an earlier reference, if
// that surely differs from both.
func TestASlateLooksBackWhereThatIsACut(t *testing.T) {
	f := &film{last: newFrame(64, 64), canvas: newFrame(64, 64), back: newFrame(64, 64)}
	f.last.fill(100)
	f.canvas.fill(110)
	f.back.fill(220)

	if err := f.openSlate(1, 5, 30); err != nil || f.slate.back != f.back || f.slate.until != 15 {
		t.Errorf("slate %+v, %v", f.slate, err)
	}
}

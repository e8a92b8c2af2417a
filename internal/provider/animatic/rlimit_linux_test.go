package animatic

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that inherited a stricter limit than ours, for instance because the operator set
// one for the whole program, keeps it, and that is not an error.
func TestTighterLimitIsKept(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	const tight = 1 << 20
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: tight, Max: tight}, nil); err != nil {
		t.Fatal(err)
	}

	if err := setLimits(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}

	for resource, want := range map[int]uint64{unix.RLIMIT_FSIZE: tight, unix.RLIMIT_AS: maxMemory, unix.RLIMIT_CORE: 0} {
		var got unix.Rlimit
		if err := unix.Prlimit(cmd.Process.Pid, resource, nil, &got); err != nil || got.Cur != want || got.Max != want {
			t.Errorf("resource %d: %+v (%v), want %d", resource, got, err, want)
		}
	}
}

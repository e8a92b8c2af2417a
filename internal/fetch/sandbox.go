package fetch

import (
	"context"
	"sync"
	"time"
)

const sandboxTestTimeout = 10 * time.Second

// sandbox records which programs can run without a network on this system. Containers and
// some systems forbid it. Then only the protocol whitelist keeps a program from the
// network; besides, files that refer to other files are rejected before a program reads them.
type sandbox struct {
	mu         sync.Mutex
	cloneFlags map[string]uintptr // by program
}

// runSandboxed runs a program with the restrictions that this system supports.
func (f *Fetcher) runSandboxed(ctx context.Context, c command) ([]byte, error) {
	c.cloneFlags = f.sandboxFlags(ctx, c.name)
	return runCommand(ctx, c)
}

// sandboxFlags tries once whether a program runs successfully without a network.
func (f *Fetcher) sandboxFlags(ctx context.Context, name string) uintptr {
	s := &f.sandbox
	s.mu.Lock()
	defer s.mu.Unlock()

	if known, ok := s.cloneFlags[name]; ok {
		return known
	}

	flags := noNetworkFlags()
	if flags == 0 {
		return 0
	}

	_, err := runCommand(ctx, command{
		name:       name,
		args:       []string{"-version"},
		timeout:    sandboxTestTimeout,
		maxOutput:  64 << 10,
		maxMemory:  1 << 30,
		cloneFlags: flags,
	})
	if ctx.Err() != nil {
		return 0 // nothing was learned, and the program will not be run
	}

	if err != nil {
		flags = 0
	}

	if s.cloneFlags == nil {
		s.cloneFlags = map[string]uintptr{}
	}

	s.cloneFlags[name] = flags

	return flags
}

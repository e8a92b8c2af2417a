package s3

import (
	"context"
	"sync"
)

// names are the keys that are being given away: one Put at a time gives one, so
// that even a store without conditional requests replaces none for this process.
type names struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is free again
}

func (n *names) hold(ctx context.Context, key string) (release func(), err error) {
	for {
		n.mu.Lock()

		busy, ok := n.held[key]
		if !ok {
			if n.held == nil {
				n.held = map[string]chan struct{}{}
			}

			n.held[key] = make(chan struct{})
			n.mu.Unlock()

			return func() { n.release(key) }, nil
		}
		n.mu.Unlock()

		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (n *names) release(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()

	close(n.held[key])
	delete(n.held, key)
}

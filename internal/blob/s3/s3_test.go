package s3

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/blobtest"
	"github.com/unireel/unireel/internal/blob/s3test"
)

func options(server *s3test.Server, prefix string) Options {
	return Options{
		Endpoint: server.Endpoint, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Bucket: server.Bucket, Prefix: prefix, Now: time.Now,
	}
}

func open(t *testing.T, o Options) *Store {
	t.Helper()

	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { s.Close() })

	return s
}

func TestContract(t *testing.T) {
	server := s3test.Start(t)

	var stores atomic.Int32

	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, options(server, fmt.Sprintf("store/%d", stores.Add(1))))
		if !s.atomic {
			t.Error("the server is taken for one that replaces objects")
		}

		return s
	})
}

// TestContractWithoutConditions is for servers that know no If-None-Match.
func TestContractWithoutConditions(t *testing.T) {
	server := s3test.Start(t)

	var stores atomic.Int32

	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, options(server, fmt.Sprintf("store/%d", stores.Add(1))))
		s.atomic = false

		return s
	})
}

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

func testOptions(server *s3test.Server, prefix string) Options {
	return Options{
		Endpoint: server.Endpoint, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Bucket: server.Bucket, Prefix: prefix, Now: time.Now,
	}
}

func openStore(t *testing.T, o Options) *Store {
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
		s := openStore(t, testOptions(server, fmt.Sprintf("store/%d", stores.Add(1))))
		if !s.conditionalWrites {
			t.Error("the store believes that the server replaces objects")
		}

		return s
	})
}

// TestContractWithoutConditionalWrites runs the contract as on a server without If-None-Match.
func TestContractWithoutConditionalWrites(t *testing.T) {
	server := s3test.Start(t)

	var stores atomic.Int32

	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := openStore(t, testOptions(server, fmt.Sprintf("store/%d", stores.Add(1))))
		s.conditionalWrites = false

		return s
	})
}

package blobtest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/blob"
)

func putBlob(t *testing.T, s blob.Store, key, data string) {
	t.Helper()

	if _, err := s.Put(t.Context(), key, strings.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

func openBlob(t *testing.T, s blob.Store, key string) blob.Reader {
	t.Helper()

	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	return r
}

func readBlob(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()

	r := openBlob(t, s, key)
	defer r.Close()

	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}

	if r.Size() != int64(len(data)) {
		t.Fatalf("%s: size %d, %d bytes", key, r.Size(), len(data))
	}

	return data
}

func listKeys(t *testing.T, s blob.Store) []string {
	t.Helper()

	var all []string

	if err := s.List(t.Context(), func(i blob.Info) bool { all = append(all, i.Key); return true }); err != nil {
		t.Fatal(err)
	}

	slices.Sort(all)

	return all
}

func checkEmpty(t *testing.T, s blob.Store) {
	t.Helper()

	if left := listKeys(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func sha256Hex(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// randomBytes returns n bytes that depend on seed.
func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))

	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}

	return data
}

// endlessReader returns bytes without an end.
type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}

	return len(p), nil
}

// triggerReader calls trigger once, when threshold bytes have been read.
type triggerReader struct {
	r         io.Reader
	read      int64
	threshold int64
	trigger   func()
}

func (c *triggerReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	before := c.read

	c.read += int64(n)
	if before < c.threshold && c.read >= c.threshold {
		c.trigger()
	}

	return n, err
}

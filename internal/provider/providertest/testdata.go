package providertest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/provider"
)

// ReadTestdata reads a file of testdata.
func ReadTestdata(t testing.TB, name string) []byte {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}

	return b
}

// CompareGolden compares what was sent with a file of testdata, or writes that
// file.
func CompareGolden(t *testing.T, update bool, name string, got []byte) {
	t.Helper()

	if update {
		if err := os.WriteFile(filepath.Join("testdata", name), append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if diff := cmp.Diff(strings.TrimSpace(string(ReadTestdata(t, name))), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// FailureOf returns the failure in an error. It fails the test if the failure has
// no fault or contains the secret.
func FailureOf(t *testing.T, err error, secret string) *provider.Failure {
	t.Helper()

	var f *provider.Failure
	if !errors.As(err, &f) || f.Fault == nil {
		t.Fatalf("error %v: want a failure with a fault", err)
	}

	if strings.Contains(f.Error(), secret) || strings.Contains(f.Fault.Error(), secret) {
		t.Fatalf("%v contains the key", f)
	}

	return f
}

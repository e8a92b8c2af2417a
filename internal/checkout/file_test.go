package checkout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store/storetest"
)

func TestAFileIsKeptAndDeleted(t *testing.T) {
	onEach(t, 0, func(t *testing.T, w *world) {
		ctx := context.Background()

		f, err := w.KeepFile(ctx, w.who, `C:\pictures\otter.png`, iotest.OneByteReader(strings.NewReader(png+strings.Repeat("x", 5000))), 1<<20)
		if err != nil || f.Name != "otter.png" || f.Kind != "image" || f.Bytes != int64(len(png)+5000) || f.SHA256 == "" {
			t.Fatalf("%+v, %v", f, err)
		}

		wantFault(t, w.DeleteFile(ctx, "acct_bob", f.ID), fault.CodeNoFile, "id")
		wantFault(t, w.DeleteFile(ctx, w.who.Account, "file_sample_otter"), fault.CodeNoFile, "id")

		if err := w.DeleteFile(ctx, w.who.Account, f.ID); err != nil {
			t.Fatal(err)
		}

		wantFault(t, w.DeleteFile(ctx, w.who.Account, f.ID), fault.CodeNoFile, "id")

		if left := w.blobs(); len(left) > 0 {
			t.Errorf("blobs are left: %v", left)
		}
	})
}

func TestABadFileLeavesNothing(t *testing.T) {
	boom := errors.New("boom")

	cases := map[string]struct {
		r     io.Reader
		full  bool
		code  fault.Code
		param string
	}{
		"text":              {r: strings.NewReader("this is no film at all"), code: fault.CodeFileType, param: "file"},
		"nothing":           {r: strings.NewReader(""), code: fault.CodeFileType, param: "file"},
		"too large":         {r: strings.NewReader(png + strings.Repeat("x", 2000)), code: fault.CodeTooLarge, param: "file"},
		"a full disk":       {r: strings.NewReader(png), full: true, code: fault.CodeDiskFull},
		"the sender's own":  {r: io.MultiReader(strings.NewReader(png+strings.Repeat("x", 100)), iotest.ErrReader(fault.New(fault.CodeSlowBody, "", "slow"))), code: fault.CodeSlowBody},
		"the sender's, raw": {r: iotest.ErrReader(boom), code: fault.CodeInternal},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.File(t), 0)
			w.full = c.full
			_, err := w.KeepFile(context.Background(), w.who, "a.mp4", c.r, 1024)
			wantFault(t, err, c.code, c.param)

			if left := w.blobs(); len(left) > 0 {
				t.Errorf("blobs are left: %v", left)
			}

			if files, _, err := w.Store.Files(context.Background(), w.who.Account, "", 10); err != nil || len(files) > 0 {
				t.Errorf("rows are left: %v, %v", files, err)
			}
		})
	}
}

// away is a blob store that is down.
type away struct{ blob.Store }

func (away) Put(context.Context, string, io.Reader) (blob.Info, error) {
	return blob.Info{}, fmt.Errorf("put: %w", blob.ErrUnavailable)
}

func TestNothingIsAcceptedWhileTheBlobsAreAway(t *testing.T) {
	onEach(t, 0, func(t *testing.T, w *world) {
		ctx := context.Background()
		here := w.Blobs
		w.Blobs = away{here}
		_, err := w.KeepFile(ctx, w.who, "a.png", strings.NewReader(png), 1024)
		wantFault(t, err, fault.CodeUnavailable, "")

		if files, _, err := w.Store.Files(ctx, w.who.Account, "", 10); err != nil || len(files) > 0 {
			t.Errorf("rows are left: %v, %v", files, err)
		}

		w.Blobs = here
		if _, err := w.KeepFile(ctx, w.who, "a.png", strings.NewReader(png), 1024); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAFileOfExactlyTheLimitIsTaken(t *testing.T) {
	onEach(t, 0, func(t *testing.T, w *world) {
		body := png + strings.Repeat("x", 100)
		if _, err := w.KeepFile(context.Background(), w.who, "a.png", strings.NewReader(body), int64(len(body))); err != nil {
			t.Error(err)
		}

		_, err := w.KeepFile(context.Background(), w.who, "a.png", strings.NewReader(body+"x"), int64(len(body)))
		wantFault(t, err, fault.CodeTooLarge, "file")
	})
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"a.png", "../../etc/passwd", "\x00\r\n\"", "猫.mp4", "....", strings.Repeat("长", 300), "\xff"} {
		f.Add(name)
	}

	f.Fuzz(func(t *testing.T, name string) {
		clean := cleanName(name, "rest")
		if clean == "" || !utf8.ValidString(clean) || utf8.RuneCountInString(clean) > maxName || strings.ContainsAny(clean, "\"/\\\r\n\x00") {
			t.Errorf("%q became %q", name, clean)
		}
	})
}

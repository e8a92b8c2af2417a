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

func TestSaveAndDeleteFile(t *testing.T) {
	onEachDatabase(t, 0, func(t *testing.T, fx *fixture) {
		ctx := context.Background()

		f, err := fx.SaveFile(ctx, fx.caller, `C:\pictures\otter.png`, iotest.OneByteReader(strings.NewReader(png+strings.Repeat("x", 5000))), 1<<20)
		if err != nil || f.Name != "otter.png" || f.Kind != "image" || f.Bytes != int64(len(png)+5000) || f.SHA256 == "" {
			t.Fatalf("%+v, %v", f, err)
		}

		wantFault(t, fx.DeleteFile(ctx, "acct_bob", f.ID), fault.CodeFileNotFound, "id")
		wantFault(t, fx.DeleteFile(ctx, fx.caller.Account, "file_sample_otter"), fault.CodeFileNotFound, "id")

		if err := fx.DeleteFile(ctx, fx.caller.Account, f.ID); err != nil {
			t.Fatal(err)
		}

		wantFault(t, fx.DeleteFile(ctx, fx.caller.Account, f.ID), fault.CodeFileNotFound, "id")

		if left := fx.blobKeys(); len(left) > 0 {
			t.Errorf("blobs are left: %v", left)
		}
	})
}

func TestRejectedFileLeavesNothing(t *testing.T) {
	boom := errors.New("boom")

	cases := map[string]struct {
		r     io.Reader
		full  bool
		code  fault.Code
		param string
	}{
		"text":                   {r: strings.NewReader("this is not a video"), code: fault.CodeUnsupportedFileType, param: "file"},
		"nothing":                {r: strings.NewReader(""), code: fault.CodeUnsupportedFileType, param: "file"},
		"too large":              {r: strings.NewReader(png + strings.Repeat("x", 2000)), code: fault.CodeBodyTooLarge, param: "file"},
		"a full disk":            {r: strings.NewReader(png), full: true, code: fault.CodeStorageFull},
		"a fault of the reader":  {r: io.MultiReader(strings.NewReader(png+strings.Repeat("x", 100)), iotest.ErrReader(fault.New(fault.CodeRequestTimeout, "", "slow"))), code: fault.CodeRequestTimeout},
		"an error of the reader": {r: iotest.ErrReader(boom), code: fault.CodeInternal},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fx := newFixture(t, storetest.SQLiteFile(t), 0)
			fx.diskFull = c.full
			_, err := fx.SaveFile(context.Background(), fx.caller, "a.mp4", c.r, 1024)
			wantFault(t, err, c.code, c.param)

			if left := fx.blobKeys(); len(left) > 0 {
				t.Errorf("blobs are left: %v", left)
			}

			if files, _, err := fx.Store.Files(context.Background(), fx.caller.Account, "", 10); err != nil || len(files) > 0 {
				t.Errorf("rows are left: %v, %v", files, err)
			}
		})
	}
}

// unavailableBlobs is a blob store that is down.
type unavailableBlobs struct{ blob.Store }

func (unavailableBlobs) Put(context.Context, string, io.Reader) (blob.Info, error) {
	return blob.Info{}, fmt.Errorf("put: %w", blob.ErrUnavailable)
}

func TestSaveFileWhileBlobsUnavailable(t *testing.T) {
	onEachDatabase(t, 0, func(t *testing.T, fx *fixture) {
		ctx := context.Background()
		blobs := fx.Blobs
		fx.Blobs = unavailableBlobs{blobs}
		_, err := fx.SaveFile(ctx, fx.caller, "a.png", strings.NewReader(png), 1024)
		wantFault(t, err, fault.CodeUnavailable, "")

		if files, _, err := fx.Store.Files(ctx, fx.caller.Account, "", 10); err != nil || len(files) > 0 {
			t.Errorf("rows are left: %v, %v", files, err)
		}

		fx.Blobs = blobs
		if _, err := fx.SaveFile(ctx, fx.caller, "a.png", strings.NewReader(png), 1024); err != nil {
			t.Errorf("after the blob store is available again: %v", err)
		}
	})
}

func TestFileSizeLimit(t *testing.T) {
	onEachDatabase(t, 0, func(t *testing.T, fx *fixture) {
		body := png + strings.Repeat("x", 100)
		if _, err := fx.SaveFile(context.Background(), fx.caller, "a.png", strings.NewReader(body), int64(len(body))); err != nil {
			t.Error(err)
		}

		_, err := fx.SaveFile(context.Background(), fx.caller, "a.png", strings.NewReader(body+"x"), int64(len(body)))
		wantFault(t, err, fault.CodeBodyTooLarge, "file")
	})
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"a.png", "../../etc/passwd", "\x00\r\n\"", "猫.mp4", "....", strings.Repeat("长", 300), "\xff"} {
		f.Add(name)
	}

	f.Fuzz(func(t *testing.T, name string) {
		clean := cleanName(name, "fallback")
		if clean == "" || !utf8.ValidString(clean) || utf8.RuneCountInString(clean) > maxFileName || strings.ContainsAny(clean, "\"/\\\r\n\x00") {
			t.Errorf("%q became %q", name, clean)
		}
	})
}

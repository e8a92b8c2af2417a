package store

import (
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/unireel/unireel/internal/store/storetest"
)

// SQLite reads a statement once: nothing that is bound to one has it read anew, as
// a bare bound LIMIT would.
func TestAStatementIsReadOnce(t *testing.T) {
	at := storetest.File(t)
	openAt(t, at)

	tls := libc.NewTLS()
	defer tls.Close()

	name, err := libc.CString(at.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer libc.Xfree(tls, name)

	made := tls.Alloc(int(unsafe.Sizeof(uintptr(0))))
	pointer := func() uintptr { return **(**uintptr)(unsafe.Pointer(&made)) }

	if rc := lib.Xsqlite3_open_v2(tls, name, made, lib.SQLITE_OPEN_READWRITE, 0); rc != lib.SQLITE_OK {
		t.Fatal("open:", rc)
	}

	db := pointer()
	defer lib.Xsqlite3_close(tls, db)

	again := func(text string) int32 {
		words, err := libc.CString(text)
		if err != nil {
			t.Fatal(err)
		}
		defer libc.Xfree(tls, words)

		if rc := lib.Xsqlite3_prepare_v2(tls, db, words, -1, made, 0); rc != lib.SQLITE_OK {
			t.Fatalf("%s: %s", text, libc.GoString(lib.Xsqlite3_errmsg(tls, db)))
		}

		stmt := pointer()
		defer lib.Xsqlite3_finalize(tls, stmt)

		for use := range int64(3) {
			for i := range lib.Xsqlite3_bind_parameter_count(tls, stmt) {
				lib.Xsqlite3_bind_int64(tls, stmt, i+1, use+1)
			}

			lib.Xsqlite3_step(tls, stmt) // what it does is another test's
			lib.Xsqlite3_reset(tls, stmt)
		}

		return lib.Xsqlite3_stmt_status(tls, stmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0)
	}
	if again("SELECT id FROM task LIMIT $1") == 0 {
		t.Error("SQLite no longer reads a bare bound LIMIT anew: the dialect need not spell it")
	}

	for _, text := range hotStatements(t) {
		if n := again(sqlite.spell(text)); n != 0 {
			t.Errorf("read anew %d times: %s", n, text)
		}
	}
}

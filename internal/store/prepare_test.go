package store

import (
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/unireel/unireel/internal/store/storetest"
)

// TestStatementsAreNotReprepared checks that SQLite prepares each statement once
// and that binding parameters does not make it prepare the statement again, as a
// LIMIT with a plain parameter would.
func TestStatementsAreNotReprepared(t *testing.T) {
	at := storetest.SQLiteFile(t)
	openStore(t, at)

	tls := libc.NewTLS()
	defer tls.Close()

	name, err := libc.CString(at.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer libc.Xfree(tls, name)

	handle := tls.Alloc(int(unsafe.Sizeof(uintptr(0))))
	pointer := func() uintptr { return **(**uintptr)(unsafe.Pointer(&handle)) }

	if rc := lib.Xsqlite3_open_v2(tls, name, handle, lib.SQLITE_OPEN_READWRITE, 0); rc != lib.SQLITE_OK {
		t.Fatal("open:", rc)
	}

	db := pointer()
	defer lib.Xsqlite3_close(tls, db)

	reprepares := func(text string) int32 {
		cText, err := libc.CString(text)
		if err != nil {
			t.Fatal(err)
		}
		defer libc.Xfree(tls, cText)

		if rc := lib.Xsqlite3_prepare_v2(tls, db, cText, -1, handle, 0); rc != lib.SQLITE_OK {
			t.Fatalf("%s: %s", text, libc.GoString(lib.Xsqlite3_errmsg(tls, db)))
		}

		stmt := pointer()
		defer lib.Xsqlite3_finalize(tls, stmt)

		for use := range int64(3) {
			for i := range lib.Xsqlite3_bind_parameter_count(tls, stmt) {
				lib.Xsqlite3_bind_int64(tls, stmt, i+1, use+1)
			}

			lib.Xsqlite3_step(tls, stmt) // other tests check what it does
			lib.Xsqlite3_reset(tls, stmt)
		}

		return lib.Xsqlite3_stmt_status(tls, stmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0)
	}
	if reprepares("SELECT id FROM task LIMIT $1") == 0 {
		t.Error("SQLite no longer prepares a statement with a plain LIMIT parameter again: remove dialect.limitTemplate")
	}

	for _, text := range hotStatements(t) {
		if n := reprepares(sqlite.rewrite(text)); n != 0 {
			t.Errorf("prepared again %d times: %s", n, text)
		}
	}
}

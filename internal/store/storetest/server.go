package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Who may do what: the stores of tests are opened by one who owns the databases
// and no more, as it should be anywhere.
const (
	admin = "postgres"
	owner = "unireel"
)

// always are settings of every server: it listens on a socket in its own folder
// only.
var always = []string{"max_connections=200", "listen_addresses=", "log_checkpoints=off", "lc_messages=C"}

// hasty are those of a test's: no fsync, since no test pulls the plug, but a
// commit that was acknowledged is with the kernel and outlives the server.
var hasty = []string{"fsync=off", "full_page_writes=off", "shared_buffers=64MB", "deadlock_timeout=100ms"}

// Options is how a server is launched.
type Options struct {
	Durable  bool     // PostgreSQL's own defaults, fsync and synchronous_commit among them
	Settings []string // "name=value", after the others
}

// keeper runs the server for as long as somebody holds the other end of its
// standard input, and then removes its folder. So nothing is left behind, even
// by a test process that is killed. A line "keep" stops the server at once and
// leaves the folder. The end of the keeper's output says that it is done, or
// that the server ended by itself. Being in a session of its own it is not
// reached by a terminal's interrupt.
const keeper = `
bin=$1 folder=$2
shift 2
cd "$folder" || exit 1
exec 3<&0 </dev/null
if ! [ -d data ]; then
	"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions >server.log 2>&1 || failed=yes
fi
if [ -z "${failed:-}" ]; then
	"$bin/postgres" -D data -k "$folder" "$@" >>server.log 2>&1 3<&- &
	server=$!
	trap 'kill -QUIT "$server"' HUP INT TERM
	(read -r word <&3; [ "$word" != keep ] || : >keep; : >told; kill -QUIT "$server") >/dev/null 2>&1 &
	reader=$!
	wait "$server"
	wait "$server"
fi
if ! [ -e told ]; then
	[ -z "${reader:-}" ] || kill -KILL "$reader" 2>/dev/null
	exec >&-
	read -r word <&3
fi
rm -f told
if [ -e keep ]; then rm -f keep; else rm -rf "${folder:?}"; fi
`

// Server is a PostgreSQL server of this process.
type Server struct {
	installed installed
	folder    string // short: the name of a socket has a bound of about 100 bytes
	settings  []string
	keeper    *exec.Cmd
	leash     *os.File // while it is open, the keeper keeps
	ended     *os.File // its end is the keeper's

	made     atomic.Int64 // databases
	mu       sync.Mutex
	prepared bool // the template is there
}

// NewServer starts a server of the test's own, which it can stop and start. The
// settings ("name=value") come after the defaults.
func NewServer(t testing.TB, settings ...string) *Server {
	t.Helper()

	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()

	s, err := Launch(ctx, Options{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

// Stop ends the server at once, as a crash does; what was committed stays.
func (s *Server) Stop(t testing.TB) {
	t.Helper()

	if err := s.end("keep\n"); err != nil {
		t.Fatal(err)
	}
}

// Start starts a stopped server again, at the same place.
func (s *Server) Start(t testing.TB) {
	t.Helper()

	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()

	if err := s.start(ctx); err != nil {
		t.Fatal(err)
	}
}

// Launch starts a server for a program that is no test; Close ends it. It ends
// with the program in any case. ctx counts until it answers.
func Launch(ctx context.Context, o Options) (*Server, error) {
	found, err := find(ctx)
	if err != nil {
		return nil, err
	}

	s := &Server{installed: found, settings: slices.Concat(always, hasty, o.Settings)}
	if o.Durable {
		s.settings = slices.Concat(always, o.Settings)
	}

	if s.folder, err = found.newFolder(); err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.end(""))
	}

	if err := s.exec(ctx, "CREATE ROLE "+owner+" LOGIN"); err != nil {
		return nil, errors.Join(err, s.end(""))
	}

	return s, nil
}

// Close ends the server and removes all that it kept.
func (s *Server) Close() error { return s.end("") }

// Folder is where the server keeps its data and its socket.
func (s *Server) Folder() string { return s.folder }

// PID is the server's first process, the parent of the others.
func (s *Server) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}

	first, _, _ := strings.Cut(string(text), "\n")

	return strconv.Atoi(first)
}

// start starts the keeper and waits until the server answers.
func (s *Server) start(ctx context.Context) error {
	input, leash, err := os.Pipe()
	if err != nil {
		return err
	}

	ended, output, err := os.Pipe()
	if err != nil {
		return errors.Join(err, input.Close(), leash.Close())
	}

	args := []string{"-c", keeper, "keeper", s.installed.bin, s.folder}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}

	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", args...)
	cmd.Dir = s.folder
	cmd.Stdin = input
	cmd.Stdout = output
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} // no PGDATA, PGPORT and such
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.installed.as}

	err = cmd.Start()
	if err = errors.Join(err, input.Close(), output.Close()); err != nil {
		return fmt.Errorf("start a database server: %w", errors.Join(err, leash.Close(), ended.Close()))
	}

	s.keeper = cmd
	s.leash = leash
	s.ended = ended

	return s.await(ctx)
}

// await tries to connect until the server lets it. The pause between two tries
// ends early when the keeper does.
func (s *Server) await(ctx context.Context) error {
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}

		if s.over(20*time.Millisecond) || ctx.Err() != nil {
			said, _ := os.ReadFile(filepath.Join(s.folder, "server.log"))
			return fmt.Errorf("the database server did not start: %w\n%s", err, said)
		}
	}
}

// over says whether the keeper ended, within a time.
func (s *Server) over(within time.Duration) bool {
	_ = s.ended.SetReadDeadline(time.Now().Add(within))
	_, err := s.ended.Read(make([]byte, 1))

	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// end tells the keeper to stop the server, and waits until it has.
func (s *Server) end(word string) error {
	if s.leash == nil {
		return nil
	}

	var err error
	if word != "" {
		_, err = s.leash.WriteString(word)
	}

	err = errors.Join(err, s.leash.Close())
	if s.over(patience) {
		err = errors.Join(err, s.keeper.Wait())
	} else {
		err = errors.Join(err, errors.New("the database server did not stop in time"))
	}

	err = errors.Join(err, s.ended.Close())
	s.leash = nil
	s.ended = nil

	return err
}

// dsn is a database's address for its owner.
func (s *Server) dsn(name string) string { return s.address(owner, name) }

func (s *Server) address(user, name string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + name, RawQuery: url.Values{"host": {s.folder}}.Encode()}
	return u.String()
}

// exec runs a statement of the server's administrator.
func (s *Server) exec(ctx context.Context, text string) error {
	conn, err := pgx.Connect(ctx, s.address(admin, admin))
	if err != nil {
		return err
	}

	_, err = conn.Exec(ctx, text)
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.SplitN(text, "\n", 2)[0], err)
	}

	return errors.Join(err, conn.Close(ctx))
}

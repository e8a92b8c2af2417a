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

// The roles of the server. Tests open their stores with a role that owns the
// databases and has no other rights, as recommended for production.
const (
	adminRole = "postgres"
	ownerRole = "unireel"
)

// baseSettings are the settings of every server. It listens only on a socket in
// its own folder.
var baseSettings = []string{"max_connections=200", "listen_addresses=", "log_checkpoints=off", "lc_messages=C"}

// fastSettings are the settings of a server for tests: no fsync, since no test
// cuts the power. A commit that was acknowledged is in the kernel's memory and
// survives the end of the server.
var fastSettings = []string{"fsync=off", "full_page_writes=off", "shared_buffers=64MB", "deadlock_timeout=100ms"}

// Options configures a server.
type Options struct {
	Durable  bool     // keep PostgreSQL's own defaults, such as fsync and synchronous_commit
	Settings []string // "name=value", applied after the others
}

// supervisorScript runs the server until the other end of its standard input is
// closed, and then removes the server's folder. So nothing is left behind, even
// if the test process is killed. The line "preserve" stops the server at once
// and keeps the folder. The end of the script's output means that this is done,
// or that the server ended by itself. The script runs in a session of its own,
// so a terminal's interrupt does not reach it.
const supervisorScript = `
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
	(read -r word <&3; [ "$word" != preserve ] || : >preserve; : >stopping; kill -QUIT "$server") >/dev/null 2>&1 &
	reader=$!
	wait "$server"
	wait "$server"
fi
if ! [ -e stopping ]; then
	[ -z "${reader:-}" ] || kill -KILL "$reader" 2>/dev/null
	exec >&-
	read -r word <&3
fi
rm -f stopping
if [ -e preserve ]; then rm -f preserve; else rm -rf "${folder:?}"; fi
`

// Server is a PostgreSQL server of this process.
type Server struct {
	installation     installation
	folder           string // short: the path of a socket is limited to about 100 bytes
	settings         []string
	supervisor       *exec.Cmd
	supervisorStdin  *os.File // while it is open, the server runs
	supervisorStdout *os.File // it ends when the supervisor ends

	databases   atomic.Int64 // number of databases created so far
	mu          sync.Mutex
	hasTemplate bool // the template database exists
}

// NewServer starts a server for one test, which can stop and start it. The
// settings ("name=value") are applied after the defaults.
func NewServer(t testing.TB, settings ...string) *Server {
	t.Helper()

	ctx, done := context.WithTimeout(t.Context(), serverTimeout)
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

// Stop ends the server at once, like a crash; what was committed stays.
func (s *Server) Stop(t testing.TB) {
	t.Helper()

	if err := s.shutDown("preserve\n"); err != nil {
		t.Fatal(err)
	}
}

// Start starts a stopped server again, with the same data and address.
func (s *Server) Start(t testing.TB) {
	t.Helper()

	ctx, done := context.WithTimeout(t.Context(), serverTimeout)
	defer done()

	if err := s.start(ctx); err != nil {
		t.Fatal(err)
	}
}

// Launch starts a server for a program that is not a test; Close ends it. It
// also ends when the program ends. ctx limits the time until the server answers.
func Launch(ctx context.Context, o Options) (*Server, error) {
	found, err := findInstallation(ctx)
	if err != nil {
		return nil, err
	}

	s := &Server{installation: found, settings: slices.Concat(baseSettings, fastSettings, o.Settings)}
	if o.Durable {
		s.settings = slices.Concat(baseSettings, o.Settings)
	}

	if s.folder, err = found.newFolder(); err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.shutDown(""))
	}

	if err := s.exec(ctx, "CREATE ROLE "+ownerRole+" LOGIN"); err != nil {
		return nil, errors.Join(err, s.shutDown(""))
	}

	return s, nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() error { return s.shutDown("") }

// Folder returns the folder of the server's data and socket.
func (s *Server) Folder() string { return s.folder }

// PID returns the id of the server's main process, the parent of the others.
func (s *Server) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}

	first, _, _ := strings.Cut(string(text), "\n")

	return strconv.Atoi(first)
}

// start starts the supervisor and waits until the server answers.
func (s *Server) start(ctx context.Context) error {
	input, stdin, err := os.Pipe()
	if err != nil {
		return err
	}

	stdout, output, err := os.Pipe()
	if err != nil {
		return errors.Join(err, input.Close(), stdin.Close())
	}

	args := []string{"-c", supervisorScript, "supervisor", s.installation.bin, s.folder}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}

	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", args...)
	cmd.Dir = s.folder
	cmd.Stdin = input
	cmd.Stdout = output
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} // without PGDATA, PGPORT and the like
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.installation.credential}

	err = cmd.Start()
	if err = errors.Join(err, input.Close(), output.Close()); err != nil {
		return fmt.Errorf("start a database server: %w", errors.Join(err, stdin.Close(), stdout.Close()))
	}

	s.supervisor = cmd
	s.supervisorStdin = stdin
	s.supervisorStdout = stdout

	return s.waitReady(ctx)
}

// waitReady tries to connect until the server accepts it. The pause between two
// tries ends early if the supervisor ends.
func (s *Server) waitReady(ctx context.Context) error {
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}

		if s.exited(20*time.Millisecond) || ctx.Err() != nil {
			serverLog, _ := os.ReadFile(filepath.Join(s.folder, "server.log"))
			return fmt.Errorf("the database server did not start: %w\n%s", err, serverLog)
		}
	}
}

// exited reports whether the supervisor ended within the given time.
func (s *Server) exited(within time.Duration) bool {
	_ = s.supervisorStdout.SetReadDeadline(time.Now().Add(within))
	_, err := s.supervisorStdout.Read(make([]byte, 1))

	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// shutDown tells the supervisor to stop the server, and waits until it has.
func (s *Server) shutDown(command string) error {
	if s.supervisorStdin == nil {
		return nil
	}

	var err error
	if command != "" {
		_, err = s.supervisorStdin.WriteString(command)
	}

	err = errors.Join(err, s.supervisorStdin.Close())
	if s.exited(serverTimeout) {
		err = errors.Join(err, s.supervisor.Wait())
	} else {
		err = errors.Join(err, errors.New("the database server did not stop in time"))
	}

	err = errors.Join(err, s.supervisorStdout.Close())
	s.supervisorStdin = nil
	s.supervisorStdout = nil

	return err
}

// dsn returns a database's address for its owner.
func (s *Server) dsn(name string) string { return s.address(ownerRole, name) }

func (s *Server) address(user, name string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + name, RawQuery: url.Values{"host": {s.folder}}.Encode()}
	return u.String()
}

// exec runs a statement as the server's administrator.
func (s *Server) exec(ctx context.Context, text string) error {
	conn, err := pgx.Connect(ctx, s.address(adminRole, adminRole))
	if err != nil {
		return err
	}

	_, err = conn.Exec(ctx, text)
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.SplitN(text, "\n", 2)[0], err)
	}

	return errors.Join(err, conn.Close(ctx))
}

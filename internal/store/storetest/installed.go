package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
)

// oldest is the first PostgreSQL that Unireel knows.
const oldest = 15

var numbered = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// installed is a PostgreSQL of this machine.
type installed struct {
	bin string              // the folder of postgres and initdb
	as  *syscall.Credential // who the server runs as, if not as who we are: it refuses root
}

// find looks for the newest PostgreSQL in the PATH and where packages put it.
func find(ctx context.Context) (installed, error) {
	var places []string

	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			places = append(places, filepath.Dir(path))
		}
	}

	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib64/pgsql/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return installed{}, err
		}

		places = append(places, found...)
	}

	versions := map[string]int{}
	for _, place := range places {
		versions[place] = version(ctx, place)
	}

	install := "apt-get install postgresql"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql@15"
	}

	if len(places) == 0 {
		return installed{}, fmt.Errorf("PostgreSQL's server is missing; install it with: %s", install)
	}

	best := slices.MaxFunc(places, func(a, b string) int { return cmp.Compare(versions[a], versions[b]) })
	if versions[best] < oldest {
		return installed{}, fmt.Errorf("PostgreSQL in %s is older than %d; install a newer one with: %s", best, oldest, install)
	}

	as, err := anyoneButRoot()

	return installed{bin: best, as: as}, err
}

// version asks a folder's server which it is; 0 is none that works.
func version(ctx context.Context, place string) int {
	if _, err := os.Stat(filepath.Join(place, "initdb")); err != nil {
		return 0
	}

	said, err := exec.CommandContext(ctx, filepath.Join(place, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}

	m := numbered.FindSubmatch(said)
	if m == nil {
		return 0
	}

	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}

	return n
}

// anyoneButRoot finds whom root lends the server to; nil for anyone else.
func anyoneButRoot() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}

	var why error

	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			why = errors.Join(why, err)
			continue
		}

		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)

		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}

		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}

	return nil, fmt.Errorf("a database server does not run as root, and there is nobody to lend it to: %w", why)
}

// newFolder makes the server's folder where its user reaches it.
func (i installed) newFolder() (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 || !i.reaches(parent) {
		parent = "/tmp"
	}

	folder, err := os.MkdirTemp(parent, "unireel-pg-")
	if err != nil || i.as == nil {
		return folder, err
	}

	return folder, os.Chown(folder, int(i.as.Uid), int(i.as.Gid))
}

// reaches says whether anybody may go through a folder and those above it.
func (i installed) reaches(folder string) bool {
	if i.as == nil {
		return true
	}

	for {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}

		above := filepath.Dir(folder)
		if above == folder {
			return true
		}

		folder = above
	}
}

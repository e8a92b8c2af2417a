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

// minVersion is the first PostgreSQL version that Unireel supports.
const minVersion = 15

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// installation is a PostgreSQL installation of this machine.
type installation struct {
	bin        string              // the folder with postgres and initdb
	credential *syscall.Credential // the user that the server runs as, if it is not the current one: PostgreSQL refuses to run as root
}

// findInstallation looks for the newest PostgreSQL in the PATH and in the
// folders where packages install it.
func findInstallation(ctx context.Context) (installation, error) {
	var folders []string

	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(path))
		}
	}

	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib64/pgsql/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return installation{}, err
		}

		folders = append(folders, found...)
	}

	versions := map[string]int{}
	for _, folder := range folders {
		versions[folder] = serverVersion(ctx, folder)
	}

	install := "apt-get install postgresql"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql@15"
	}

	if len(folders) == 0 {
		return installation{}, fmt.Errorf("the PostgreSQL server is not installed; install it with: %s", install)
	}

	best := slices.MaxFunc(folders, func(a, b string) int { return cmp.Compare(versions[a], versions[b]) })
	if versions[best] < minVersion {
		return installation{}, fmt.Errorf("PostgreSQL in %s is older than %d; install a newer one with: %s", best, minVersion, install)
	}

	credential, err := unprivilegedUser()

	return installation{bin: best, credential: credential}, err
}

// serverVersion returns the version of the server in a folder; 0 if there is
// none that works.
func serverVersion(ctx context.Context, folder string) int {
	if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
		return 0
	}

	output, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}

	m := versionPattern.FindSubmatch(output)
	if m == nil {
		return 0
	}

	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}

	return n
}

// unprivilegedUser finds a user for the server if the current one is root;
// otherwise it returns nil.
func unprivilegedUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}

	var errs error

	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}

		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)

		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}

		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}

	return nil, fmt.Errorf("a database server does not run as root, and there is no other user to run it as: %w", errs)
}

// newFolder creates the server's folder where the server's user can reach it.
func (i installation) newFolder() (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 || !i.accessible(parent) {
		parent = "/tmp"
	}

	folder, err := os.MkdirTemp(parent, "unireel-pg-")
	if err != nil || i.credential == nil {
		return folder, err
	}

	return folder, os.Chown(folder, int(i.credential.Uid), int(i.credential.Gid))
}

// accessible reports whether any user may enter a folder and those above it.
func (i installation) accessible(folder string) bool {
	if i.credential == nil {
		return true
	}

	for {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}

		parent := filepath.Dir(folder)
		if parent == folder {
			return true
		}

		folder = parent
	}
}

package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is the data folder, which holds everything that a single server stores. Only the
// process that holds its lock opens the database in it.
type folder struct {
	path string
	lock *os.File
}

func (f folder) database() string { return filepath.Join(f.path, "unireel.db") }
func (f folder) blobs() string    { return filepath.Join(f.path, "blobs") }
func (f folder) scratch() string  { return filepath.Join(f.path, "scratch") }
func (f folder) socket() string   { return filepath.Join(f.path, "unireel.sock") }

// errLocked reports that a server or an operator's command holds the folder's lock.
var errLocked = errors.New("the data folder is in use")

// lockFolder creates the folder if it is missing, readable only by its owner, and locks
// it for the life of the process.
func lockFolder(path string) (folder, error) {
	f := folder{path: path}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return f, fmt.Errorf("the data folder %s cannot be created: %w; choose another with --data or UNIREEL_DATA", path, err)
	}

	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return f, fmt.Errorf("the data folder %s cannot be written: %w; choose another with --data or UNIREEL_DATA", path, err)
	}

	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()

		if errors.Is(err, unix.EWOULDBLOCK) {
			return f, fmt.Errorf("%s: %w by another unireel process; stop it, or choose another folder with --data", path, errLocked)
		}

		return f, fmt.Errorf("lock %s: %w", path, err)
	}

	f.lock = lock
	if err := os.RemoveAll(f.scratch()); err != nil {
		return f, errors.Join(fmt.Errorf("clear %s: %w", f.scratch(), err), f.unlock())
	}

	for _, dir := range []string{f.blobs(), f.scratch()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return f, errors.Join(fmt.Errorf("create %s: %w", dir, err), f.unlock())
		}
	}

	return f, nil
}

func (f folder) unlock() error { return f.lock.Close() }

package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Mapping serves the URLs under a prefix from a folder.
type Mapping struct {
	Prefix string // "https://example.com/" or "https://example.com/clips/"
	Folder string
}

// ParseMapping parses PREFIX=FOLDER, the value of --fetch-map.
func ParseMapping(text string) (Mapping, error) {
	prefix, folder, ok := strings.Cut(text, "=")
	if !ok || folder == "" {
		return Mapping{}, fmt.Errorf("fetch-map %q: write a URL prefix and a folder: https://example.com/=./clips", text)
	}

	m := Mapping{Prefix: prefix, Folder: folder}
	if _, err := m.prefixURL(); err != nil {
		return Mapping{}, err
	}

	return m, nil
}

// prefixURL returns the prefix as a URL whose path ends with a slash.
func (m Mapping) prefixURL() (*url.URL, error) {
	u, err := url.Parse(m.Prefix)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("fetch-map prefix %q: write an http or https URL without query, such as https://example.com/", m.Prefix)
	}

	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}

	return u, nil
}

// mappedFolder is a Mapping whose folder is open.
type mappedFolder struct {
	prefix *url.URL
	root   *os.Root
}

// openMappings opens the folders and sorts them by prefix, the longest first.
func openMappings(mappings []Mapping) ([]mappedFolder, error) {
	var opened []mappedFolder

	for _, m := range mappings {
		prefix, err := m.prefixURL()
		if err != nil {
			return nil, errors.Join(err, closeMappings(opened))
		}

		root, err := os.OpenRoot(m.Folder)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fetch-map %s: %w", m.Prefix, err), closeMappings(opened))
		}

		opened = append(opened, mappedFolder{prefix, root})
	}

	slices.SortStableFunc(opened, func(a, b mappedFolder) int {
		return cmp.Compare(len(b.prefix.Path), len(a.prefix.Path))
	})

	return opened, nil
}

func closeMappings(opened []mappedFolder) error {
	var errs []error
	for _, f := range opened {
		errs = append(errs, f.root.Close())
	}

	return errors.Join(errs...)
}

// findMapping returns the folder that a URL is served from, or nil.
func (f *Fetcher) findMapping(u *url.URL) *mappedFolder {
	for i := range f.mappings {
		prefix := f.mappings[i].prefix
		if u.Scheme == prefix.Scheme && normalizedHost(u) == normalizedHost(prefix) && portOf(u) == portOf(prefix) && strings.HasPrefix(u.Path, prefix.Path) {
			return &f.mappings[i]
		}
	}

	return nil
}

// open opens the file that the URL names in the folder. Only plain paths to regular files
// exist.
func (d *mappedFolder) open(u *url.URL) (*os.File, int64, error) {
	name := strings.TrimPrefix(u.Path, d.prefix.Path)
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\x00\\") {
		return nil, 0, fs.ErrNotExist
	}
	// Opening a named pipe would block forever, so check the type first.
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, 0, err
	}

	if !info.Mode().IsRegular() {
		return nil, 0, fs.ErrNotExist
	}

	file, err := d.root.Open(name)
	if err != nil {
		return nil, 0, err
	}

	return file, info.Size(), nil
}

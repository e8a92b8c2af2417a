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

// Mapping serves the URLs below a prefix from a folder.
type Mapping struct {
	Prefix string // "https://example.com/" or "https://example.com/clips/"
	Folder string
}

// ParseMapping reads PREFIX=FOLDER, as --fetch-map has it.
func ParseMapping(text string) (Mapping, error) {
	prefix, folder, ok := strings.Cut(text, "=")
	if !ok || folder == "" {
		return Mapping{}, fmt.Errorf("fetch-map %q: write a URL prefix and a folder: https://example.com/=./clips", text)
	}

	m := Mapping{Prefix: prefix, Folder: folder}
	if _, err := m.origin(); err != nil {
		return Mapping{}, err
	}

	return m, nil
}

// origin is the prefix as a URL whose path ends with a slash.
func (m Mapping) origin() (*url.URL, error) {
	u, err := url.Parse(m.Prefix)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("fetch-map prefix %q: write an http or https URL without query, such as https://example.com/", m.Prefix)
	}

	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}

	return u, nil
}

// folder is a Mapping that is open.
type folder struct {
	origin *url.URL
	root   *os.Root
}

// openMappings opens the folders and puts the longest prefixes first.
func openMappings(maps []Mapping) ([]folder, error) {
	var list []folder

	for _, m := range maps {
		origin, err := m.origin()
		if err != nil {
			return nil, errors.Join(err, closeMappings(list))
		}

		root, err := os.OpenRoot(m.Folder)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fetch-map %s: %w", m.Prefix, err), closeMappings(list))
		}

		list = append(list, folder{origin, root})
	}

	slices.SortStableFunc(list, func(a, b folder) int {
		return cmp.Compare(len(b.origin.Path), len(a.origin.Path))
	})

	return list, nil
}

func closeMappings(list []folder) error {
	var errs []error
	for _, f := range list {
		errs = append(errs, f.root.Close())
	}

	return errors.Join(errs...)
}

// mapped finds the folder that a URL is served from, or nil.
func (f *Fetcher) mapped(u *url.URL) *folder {
	for i := range f.maps {
		o := f.maps[i].origin
		if u.Scheme == o.Scheme && plainHost(u) == plainHost(o) && portOf(u) == portOf(o) && strings.HasPrefix(u.Path, o.Path) {
			return &f.maps[i]
		}
	}

	return nil
}

// file opens what the URL names below the folder. Anything but a plain path to a
// plain file does not exist.
func (d *folder) file(u *url.URL) (*os.File, int64, error) {
	name := strings.TrimPrefix(u.Path, d.origin.Path)
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\x00\\") {
		return nil, 0, fs.ErrNotExist
	}
	// A pipe would wait for ever at opening; so look first.
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

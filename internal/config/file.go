package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// maxFile is how many bytes of a configuration file are read.
const maxFile = 1 << 20

// upstreamsKey is the one key of the file that is no flag.
const upstreamsKey = "upstreams"

// file is a configuration file that was read: the values of knobs by flag name,
// each with its line, and the upstreams.
type file struct {
	path      string
	values    map[string]value
	upstreams []Upstream
}

type value struct {
	line int
	raw  any // a string, or a []any of strings
}

// readFile reads the file at path.
func readFile(path string, knobs []*kong.Flag) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", path, err)
	}

	if len(text) > maxFile {
		return nil, fmt.Errorf("config: %s is larger than %d bytes", path, maxFile)
	}

	return parseFile(path, text, knobs)
}

// parseFile reads a file's text. Every mistake names the file, the line and the
// key; what an unknown key may have meant is suggested.
func parseFile(path string, text []byte, knobs []*kong.Flag) (*file, error) {
	parsed := &file{path: path, values: map[string]value{}}

	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, err)
	}

	if len(document.Content) == 0 {
		return parsed, nil
	}

	names := map[string]*kong.Flag{}
	for _, knob := range knobs {
		names[knob.Name] = knob
	}

	if err := parsed.take("", document.Content[0], names); err != nil {
		return nil, err
	}

	return parsed, nil
}

// take reads one mapping; prefix is the section it stands in, "dashscope-".
func (f *file) take(prefix string, node *yaml.Node, knobs map[string]*kong.Flag) error {
	pairs, err := f.pairs(node)
	if err != nil {
		return err
	}

	for _, pair := range pairs {
		name := prefix + strings.ReplaceAll(pair.key, "_", "-")

		_, known := knobs[name]
		switch {
		case name == upstreamsKey:
			if f.upstreams, err = f.takeUpstreams(pair.node); err != nil {
				return err
			}
		case known:
			raw, err := f.plain(pair)
			if err != nil {
				return err
			}

			if before, twice := f.values[name]; twice {
				return fmt.Errorf("config: %s:%d: %s stands in line %d already", f.path, pair.line, pair.key, before.line)
			}

			f.values[name] = value{line: pair.line, raw: raw}
		case prefix == "" && pair.node.Kind == yaml.MappingNode && isSection(name, knobs):
			if err := f.take(name+"-", pair.node, knobs); err != nil {
				return err
			}
		default:
			return f.unknown(pair, prefix, knobs)
		}
	}

	return nil
}

func isSection(name string, knobs map[string]*kong.Flag) bool {
	for knob := range knobs {
		if strings.HasPrefix(knob, name+"-") {
			return true
		}
	}

	return false
}

func (f *file) unknown(p pair, prefix string, knobs map[string]*kong.Flag) error {
	names := []string{upstreamsKey}

	for knob := range knobs {
		if rest, ok := strings.CutPrefix(knob, prefix); ok && knob != "config" {
			names = append(names, strings.ReplaceAll(rest, "-", "_"))
		}
	}

	return unknownKey(f.path, p, names)
}

func unknownKey(path string, p pair, names []string) error {
	return fmt.Errorf("config: %s:%d: unknown key %s; did you mean %s?", path, p.line, p.key, nearest(p.key, names))
}

// pair is one key of a mapping.
type pair struct {
	key  string
	line int
	node *yaml.Node
}

// pairs lists a mapping's keys in order; a key twice is an error.
func (f *file) pairs(node *yaml.Node) ([]pair, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config: %s:%d: want keys and values, such as \"addr: 127.0.0.1:8080\"", f.path, node.Line)
	}

	var list []pair

	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("config: %s:%d: a key must be a plain word", f.path, key.Line)
		}

		if slices.ContainsFunc(list, func(p pair) bool { return p.key == key.Value }) {
			return nil, fmt.Errorf("config: %s:%d: %s stands twice", f.path, key.Line, key.Value)
		}

		list = append(list, pair{key: key.Value, line: key.Line, node: node.Content[i+1]})
	}

	return list, nil
}

// plain turns a value into what a flag takes: a string, or a list of them. A
// mapping under a list knob is a list of key=value.
func (f *file) plain(p pair) (any, error) {
	switch p.node.Kind {
	case yaml.ScalarNode:
		return p.node.Value, nil
	case yaml.SequenceNode:
		list := []any{}

		for _, item := range p.node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("config: %s:%d: %s takes a list of plain values", f.path, item.Line, p.key)
			}

			list = append(list, item.Value)
		}

		return list, nil
	case yaml.MappingNode:
		entries, err := f.pairs(p.node)
		if err != nil {
			return nil, err
		}

		list := []any{}
		for _, entry := range entries {
			list = append(list, entry.key+"="+entry.node.Value)
		}

		return list, nil
	}

	return nil, fmt.Errorf("config: %s:%d: %s takes a plain value or a list; aliases are not taken", f.path, p.line, p.key)
}

// Validate is for kong; a file is validated while it is read.
func (f *file) Validate(*kong.Application) error { return nil }

// Resolve gives kong the file's value of a flag that neither the command line
// nor the environment set.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	found, ok := f.values[flag.Name]
	if !ok || slices.ContainsFunc(flag.Tag.Envs, isSet) {
		return nil, nil
	}

	trial := reflect.New(flag.Target.Type()).Elem()
	if trial.Kind() == reflect.Slice {
		if text, isText := found.raw.(string); isText {
			found.raw = []any{text}
		}
	}

	if err := flag.Parse(kong.Scan().PushTyped(found.raw, kong.FlagValueToken), trial); err != nil {
		return nil, fmt.Errorf("config: %s:%d: %w", f.path, found.line, err)
	}

	return found.raw, nil
}

func isSet(name string) bool { return os.Getenv(name) != "" }

// find is the first of the places that has a file, "" for none.
func find(places []string) (string, error) {
	for _, place := range places {
		_, err := os.Stat(place)
		if err == nil {
			return place, nil
		}

		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", fmt.Errorf("config: look for %s: %w", place, err)
		}
	}

	return "", nil
}

// nearest is the name that takes the fewest changes of letters to get to.
func nearest(word string, names []string) string {
	slices.Sort(names)

	best := ""

	least := 1 << 30
	for _, name := range names {
		if d := distance(word, name); d < least {
			best = name
			least = d
		}
	}

	return best
}

// distance counts the letters to insert, remove or replace between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1

		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}

			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}

	return row[len(b)]
}

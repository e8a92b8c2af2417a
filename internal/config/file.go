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

// maxFileBytes is how many bytes of a configuration file are read.
const maxFileBytes = 1 << 20

// upstreamsKey is the only key of the file that is not a flag.
const upstreamsKey = "upstreams"

// file is a parsed configuration file: the values of options by the name of their flag,
// each with its line, and the upstreams.
type file struct {
	path      string
	values    map[string]fileValue
	upstreams []Upstream
}

type fileValue struct {
	line int
	raw  any // a string, or a []any of strings
}

// readFile reads and parses the file at path.
func readFile(path string, options []*kong.Flag) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", path, err)
	}

	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("config: %s is larger than %d bytes", path, maxFileBytes)
	}

	return parseFile(path, text, options)
}

// parseFile parses a file's text. Errors name the file, the line and the key; for an
// unknown key they suggest the most similar one.
func parseFile(path string, text []byte, options []*kong.Flag) (*file, error) {
	parsed := &file{path: path, values: map[string]fileValue{}}

	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, err)
	}

	if len(document.Content) == 0 {
		return parsed, nil
	}

	names := map[string]*kong.Flag{}
	for _, option := range options {
		names[option.Name] = option
	}

	if err := parsed.readMapping("", document.Content[0], names); err != nil {
		return nil, err
	}

	return parsed, nil
}

// readMapping reads one mapping. prefix is the section that contains it, such as
// "dashscope-", or "" at the top level.
func (f *file) readMapping(prefix string, node *yaml.Node, options map[string]*kong.Flag) error {
	pairs, err := f.pairs(node)
	if err != nil {
		return err
	}

	for _, pair := range pairs {
		name := prefix + strings.ReplaceAll(pair.key, "_", "-")

		_, known := options[name]
		switch {
		case name == upstreamsKey:
			if f.upstreams, err = f.readUpstreams(pair.node); err != nil {
				return err
			}
		case known:
			raw, err := f.flagValue(pair)
			if err != nil {
				return err
			}

			if earlier, duplicate := f.values[name]; duplicate {
				return fmt.Errorf("config: %s:%d: %s is already set in line %d", f.path, pair.line, pair.key, earlier.line)
			}

			f.values[name] = fileValue{line: pair.line, raw: raw}
		case prefix == "" && pair.node.Kind == yaml.MappingNode && isSection(name, options):
			if err := f.readMapping(name+"-", pair.node, options); err != nil {
				return err
			}
		default:
			return f.unknownOption(pair, prefix, options)
		}
	}

	return nil
}

func isSection(name string, options map[string]*kong.Flag) bool {
	for option := range options {
		if strings.HasPrefix(option, name+"-") {
			return true
		}
	}

	return false
}

func (f *file) unknownOption(p keyNode, prefix string, options map[string]*kong.Flag) error {
	names := []string{upstreamsKey}

	for option := range options {
		if rest, ok := strings.CutPrefix(option, prefix); ok && option != "config" {
			names = append(names, strings.ReplaceAll(rest, "-", "_"))
		}
	}

	return unknownKey(f.path, p, names)
}

func unknownKey(path string, p keyNode, names []string) error {
	return fmt.Errorf("config: %s:%d: unknown key %s; did you mean %s?", path, p.line, p.key, closestName(p.key, names))
}

// keyNode is one key of a mapping, with its value.
type keyNode struct {
	key  string
	line int
	node *yaml.Node
}

// pairs returns a mapping's keys in order. A key that occurs twice is an error.
func (f *file) pairs(node *yaml.Node) ([]keyNode, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config: %s:%d: want keys and values, such as \"addr: 127.0.0.1:8080\"", f.path, node.Line)
	}

	var list []keyNode

	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("config: %s:%d: a key must be a plain word", f.path, key.Line)
		}

		if slices.ContainsFunc(list, func(p keyNode) bool { return p.key == key.Value }) {
			return nil, fmt.Errorf("config: %s:%d: %s is set twice", f.path, key.Line, key.Value)
		}

		list = append(list, keyNode{key: key.Value, line: key.Line, node: node.Content[i+1]})
	}

	return list, nil
}

// flagValue converts a value to what a flag accepts: a string or a list of strings. A
// mapping becomes a list of KEY=VALUE.
func (f *file) flagValue(p keyNode) (any, error) {
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

	return nil, fmt.Errorf("config: %s:%d: %s takes a plain value or a list; aliases are not supported", f.path, p.line, p.key)
}

// Validate implements kong.Resolver. A file is validated while it is read.
func (f *file) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns the file's value of a flag, which kong
// uses if the command line does not set the flag. The environment overrides the file, so
// a flag that is set there has no value here.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	found, ok := f.values[flag.Name]
	if !ok || slices.ContainsFunc(flag.Tag.Envs, envIsSet) {
		return nil, nil
	}

	// Parse the value here first, because kong's own error would not name the file and line.
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

func envIsSet(name string) bool { return os.Getenv(name) != "" }

// firstExisting returns the first path at which there is a file, or "".
func firstExisting(paths []string) (string, error) {
	for _, path := range paths {
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}

		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", fmt.Errorf("config: look for %s: %w", path, err)
		}
	}

	return "", nil
}

// closestName returns the name with the smallest edit distance to word.
func closestName(word string, names []string) string {
	slices.Sort(names)

	best := ""

	bestDistance := 1 << 30
	for _, name := range names {
		if d := editDistance(word, name); d < bestDistance {
			best = name
			bestDistance = d
		}
	}

	return best
}

// editDistance returns the number of letters to insert, remove or replace to turn a into
// b (the Levenshtein distance). row holds one row of the usual table.
func editDistance(a, b string) int {
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

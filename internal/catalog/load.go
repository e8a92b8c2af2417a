package catalog

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/money"
)

//go:embed models/*.yaml
var embedded embed.FS

// Catalog is the models that are offered, with their prices. It is not modified after
// Load and is safe for concurrent use.
type Catalog struct {
	currency string
	markup   string
	models   []*Model // by id
	byID     map[string]*Model
	families map[string]*family
}

// family is a name that stands for several models, which differ in tier and sound. All
// members have the same modes under this name; the request's fields decide which
// mode and which member is used.
type family struct {
	name    string
	modes   []Mode   // sorted
	members []*Model // by id
}

// Options sets the currency and the prices of an installation.
type Options struct {
	Currency string // "USD" when empty
	Markup   string // decimal factor on the list prices, "1.2"; "1" when empty
	// Prices maps a model id to the operator's own price per second. The mark-up is not
	// applied to these prices. See ParsePrices.
	Prices map[string]string
}

// ParsePrices parses an operator's price table, a YAML mapping of model id to price per
// second as a decimal. name is the file's name, for errors.
func ParsePrices(name string, data []byte) (map[string]string, error) {
	prices := map[string]string{}
	if err := decodeStrict(data, &prices); err != nil {
		return nil, fmt.Errorf("price table %s: %w", name, err)
	}

	return prices, nil
}

// Load reads the models that ship with the program, then every *.yaml of the operator's
// folders in order: a file with the id of an earlier model replaces that model
// completely. An invalid file, or files that contradict each other, are an error
// that names file and field.
func Load(o Options, folders ...fs.FS) (*Catalog, error) {
	builtin, err := fs.Sub(embedded, "models")
	if err != nil {
		return nil, fmt.Errorf("open models: %w", err)
	}

	models := map[string]*Model{}
	for _, folder := range append([]fs.FS{builtin}, folders...) {
		if err := readFolder(folder, models); err != nil {
			return nil, err
		}
	}

	if o.Currency == "" {
		o.Currency = "USD"
	}

	if o.Markup == "" {
		o.Markup = "1"
	}

	if err := setPrices(models, o); err != nil {
		return nil, err
	}

	c := &Catalog{currency: o.Currency, markup: o.Markup, byID: models, families: map[string]*family{}}
	for _, id := range slices.Sorted(maps.Keys(models)) {
		c.models = append(c.models, models[id])
	}

	if err := c.buildFamilies(); err != nil {
		return nil, err
	}

	return c, nil
}

func readFolder(folder fs.FS, models map[string]*Model) error {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}

	for _, entry := range entries {
		name := entry.Name()
		if path.Ext(name) == ".yml" {
			return fmt.Errorf("model %s: name the file %s", name, strings.TrimSuffix(name, ".yml")+".yaml")
		}

		if entry.IsDir() || path.Ext(name) != ".yaml" {
			continue
		}

		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return fmt.Errorf("read model %s: %w", name, err)
		}

		m, err := parseModel(name, data)
		if err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}

		models[m.ID] = m
	}

	return nil
}

func parseModel(name string, data []byte) (*Model, error) {
	m := &Model{file: name}
	if err := decodeStrict(data, m); err != nil {
		return nil, err
	}

	if err := m.validate(); err != nil {
		return nil, err
	}

	if m.ID+".yaml" != name {
		return nil, fmt.Errorf("id: %q is in a file of another name; rename the file to %s.yaml", m.ID, m.ID)
	}

	return m, nil
}

// decodeStrict decodes exactly one YAML document; unknown and duplicate keys are errors
// that name their line.
func decodeStrict(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)

	if err := d.Decode(into); errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	} else if err != nil {
		return err
	}

	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one YAML document in the file")
	}

	return nil
}

var decimalOne = decimal.NewFromInt(1)

// maxPrice limits a price per second, so that no hold can overflow.
const maxPrice = 1_000_000

func setPrices(models map[string]*Model, o Options) error {
	markup, err := parseDecimal(o.Markup)
	if err != nil || markup.Sign() <= 0 || markup.GreaterThan(decimal.NewFromInt(1000)) {
		return fmt.Errorf("mark-up %q: want a decimal above 0 and at most 1000, like 1.2", o.Markup)
	}

	for id := range o.Prices {
		if _, ok := models[id]; !ok {
			return fmt.Errorf("price table: there is no model %q", id)
		}
	}

	for _, id := range slices.Sorted(maps.Keys(models)) {
		m := models[id]
		text, custom := o.Prices[id]
		factor := decimalOne

		if !custom {
			text = m.Price.PerSecond[o.Currency]
			factor = markup
		}

		if text == "" {
			return fmt.Errorf("model %s: price.per_second: the model has no price in %s, neither here nor in the price table", m.file, o.Currency)
		}

		price, err := parsePrice(text, factor)
		if err != nil {
			return fmt.Errorf("model %s: price per second in %s: %w", m.file, o.Currency, err)
		}

		m.UnitPrice = price
		m.CustomPrice = custom
	}

	return nil
}

// parsePrice multiplies text by factor exactly and rounds once, half up, to a
// micro-unit.
func parsePrice(text string, factor decimal.Decimal) (money.Amount, error) {
	d, err := parseDecimal(text)
	if err != nil || d.Sign() < 0 || d.GreaterThan(decimal.NewFromInt(maxPrice)) {
		return 0, fmt.Errorf("%q: want a decimal from 0 to %d, like 0.075", text, maxPrice)
	}

	return money.Amount(d.Mul(factor).Shift(6).Round(0).IntPart()), nil
}

// parseDecimal accepts plain decimals only: with an exponent, a short text could stand
// for a number of a billion digits.
func parseDecimal(text string) (decimal.Decimal, error) {
	if len(text) > 40 || strings.ContainsAny(text, "eE") {
		return decimal.Decimal{}, errors.New("not a plain decimal")
	}

	return decimal.NewFromString(text)
}

// buildFamilies collects the members of each family. Two members with the same tier and
// sound are an error: no request could tell them apart.
func (c *Catalog) buildFamilies() error {
	for _, m := range c.models {
		for _, name := range m.Families() {
			modes := slices.DeleteFunc(m.ModeList(), func(mode Mode) bool { return m.Modes[mode].Family != name })
			if _, exists := c.byID[name]; exists {
				return fmt.Errorf("model %s: modes.%s.family: %q is already a model's id", m.file, modes[0], name)
			}

			f := c.families[name]
			if f == nil {
				f = &family{name: name, modes: modes}
				c.families[name] = f
			}

			if !slices.Equal(f.modes, modes) {
				return fmt.Errorf("model %s: modes.%s.family: %q is a family of the modes %v in %s; all its members must have the same modes", m.file, modes[0], name, f.modes, f.members[0].file)
			}

			for _, other := range f.members {
				if other.Tier == m.Tier && other.Sound == m.Sound {
					return fmt.Errorf("model %s: modes.%s.family: %s has the same tier and sound in the family %q; its members must differ in one of them", m.file, modes[0], other.file, name)
				}
			}

			f.members = append(f.members, m)
		}
	}

	return nil
}

// Models returns all models, sorted by id.
func (c *Catalog) Models() []*Model { return slices.Clone(c.models) }

// Model returns the model with exactly this id, and false if there is none. A family
// name is not an id.
func (c *Catalog) Model(id string) (*Model, bool) {
	m, ok := c.byID[id]
	return m, ok
}

// Families returns all family names, sorted.
func (c *Catalog) Families() []string { return slices.Sorted(maps.Keys(c.families)) }

// Currency returns the currency of all prices, "USD".
func (c *Catalog) Currency() string { return c.currency }

// Markup returns the decimal that list prices are multiplied by, "1.2".
func (c *Catalog) Markup() string { return c.markup }

func (c *Catalog) allNames() []string {
	return append(slices.Sorted(maps.Keys(c.byID)), c.Families()...)
}

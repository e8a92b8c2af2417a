package api

import (
	"net/http"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// model is one model: OpenAI's four fields, and what can be asked of it.
type model struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"`
	OwnedBy     string       `json:"owned_by"`
	Title       catalog.Text `json:"title"`
	Description catalog.Text `json:"description"`
	Family      *string      `json:"family"` // a name that resolves to it by size and sound; null where it has none
	Families    []string     `json:"families"`
	Modes       []modelMode  `json:"modes"`
	Tier        string       `json:"tier"`
	Sizes       []string     `json:"sizes"` // the first is the default
	Seconds     modelSeconds `json:"seconds"`
	Sound       bool         `json:"sound"`
	ShotTypes   []string     `json:"shot_types"`
	PromptMax   int          `json:"prompt_max"` // characters
	Price       modelPrice   `json:"price"`
}

type modelMode struct {
	Mode       catalog.Mode    `json:"mode"`
	References modelReferences `json:"references"`
	GuideAudio bool            `json:"guide_audio"`
}

type modelReferences struct {
	Min    int `json:"min"`
	Max    int `json:"max"`
	Images int `json:"images"`
	Videos int `json:"videos"`
}

type modelSeconds struct {
	Min     int `json:"min"`
	Max     int `json:"max"`
	Default int `json:"default"`
}

type modelPrice struct {
	PerSecond string          `json:"per_second"` // decimal
	Currency  string          `json:"currency"`
	Billing   catalog.Billing `json:"billing"`
}

func (a *API) model(m *catalog.Model) model {
	shown := model{
		ID: m.ID, Object: "model", OwnedBy: "unireel", Title: m.Title, Description: m.Description,
		Families: append([]string{}, m.Families()...), Tier: m.Tier, Sizes: m.Sizes, Seconds: modelSeconds(m.Seconds),
		Sound: m.Sound, ShotTypes: m.ShotTypes, PromptMax: m.PromptMax,
		Price: modelPrice{PerSecond: m.UnitPrice.String(), Currency: a.Catalog.Currency(), Billing: m.Price.Billing},
	}
	if len(shown.Families) > 0 {
		shown.Family = &shown.Families[0]
	}

	for _, mode := range m.ModeList() {
		sheet := m.Modes[mode]
		shown.Modes = append(shown.Modes, modelMode{Mode: mode, References: modelReferences(sheet.References), GuideAudio: sheet.GuideAudio != catalog.AudioRefused})
	}

	return shown
}

func mayAsk(c *call, m *catalog.Model) bool { return c.key.MayAsk(m.Names()...) }

// listModels is GET /v1/models.
func (a *API) listModels(c *call) error {
	var list []model

	for _, m := range a.Catalog.Models() {
		if mayAsk(c, m) {
			list = append(list, a.model(m))
		}
	}

	return c.json(http.StatusOK, newPage(list, false, func(m model) string { return m.ID }))
}

// getModel is GET /v1/models/{id}.
func (a *API) getModel(c *call) error {
	m, ok := a.Catalog.Model(c.r.PathValue("id"))
	if !ok || !mayAsk(c, m) {
		f := fault.New(fault.CodeUnknownModel, "id", "There is no model of this id. GET /v1/models lists them.")
		f.Kind = fault.NotFound

		return f
	}

	return c.json(http.StatusOK, a.model(m))
}

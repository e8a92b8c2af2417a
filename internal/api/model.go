package api

import (
	"net/http"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// model is one model: OpenAI's four fields, and the model's capabilities and price.
type model struct {
	ID          string                `json:"id"`
	Object      string                `json:"object"`
	Created     int64                 `json:"created"`
	OwnedBy     string                `json:"owned_by"`
	Title       catalog.LocalizedText `json:"title"`
	Description catalog.LocalizedText `json:"description"`
	Family      *string               `json:"family"` // a name that resolves to this model by size and sound; null if there is none
	Families    []string              `json:"families"`
	Modes       []modelMode           `json:"modes"`
	Tier        string                `json:"tier"`
	Sizes       []string              `json:"sizes"` // the first is the default
	Seconds     modelSeconds          `json:"seconds"`
	Sound       bool                  `json:"sound"`
	ShotTypes   []string              `json:"shot_types"`
	PromptMax   int                   `json:"prompt_max"` // characters
	Price       modelPrice            `json:"price"`
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
	body := model{
		ID:          m.ID,
		Object:      "model",
		OwnedBy:     "unireel",
		Title:       m.Title,
		Description: m.Description,
		Families:    append([]string{}, m.Families()...),
		Tier:        m.Tier,
		Sizes:       m.Sizes,
		Seconds:     modelSeconds(m.Seconds),
		Sound:       m.Sound,
		ShotTypes:   m.ShotTypes,
		PromptMax:   m.PromptMax,
		Price:       modelPrice{PerSecond: m.UnitPrice.String(), Currency: a.Catalog.Currency(), Billing: m.Price.Billing},
	}
	if len(body.Families) > 0 {
		body.Family = &body.Families[0]
	}

	for _, mode := range m.ModeList() {
		spec := m.Modes[mode]
		body.Modes = append(body.Modes, modelMode{Mode: mode, References: modelReferences(spec.References), GuideAudio: spec.GuideAudio != catalog.GuideAudioUnsupported})
	}

	return body
}

// mayUse reports whether the caller's key may use a model.
func mayUse(c *requestContext, m *catalog.Model) bool { return c.key.AllowsModel(m.Names()...) }

// listModels is GET /v1/models.
func (a *API) listModels(c *requestContext) error {
	var list []model

	for _, m := range a.Catalog.Models() {
		if mayUse(c, m) {
			list = append(list, a.model(m))
		}
	}

	return c.json(http.StatusOK, newPage(list, false, func(m model) string { return m.ID }))
}

// getModel is GET /v1/models/{id}.
func (a *API) getModel(c *requestContext) error {
	m, ok := a.Catalog.Model(c.req.PathValue("id"))
	if !ok || !mayUse(c, m) {
		f := fault.New(fault.CodeUnknownModel, "id", "There is no model with this id. GET /v1/models lists the models.")
		f.Kind = fault.NotFound

		return f
	}

	return c.json(http.StatusOK, a.model(m))
}

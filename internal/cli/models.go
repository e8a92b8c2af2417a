package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type modelsCmd struct{ serverFlags }

// Help returns examples.
func (modelsCmd) Help() string {
	return "Examples:\n\n  unireel models\n\n  unireel models --json | jq -r .id"
}

// Run lists the models.
func (c *modelsCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	models, err := server.Models(ctx)
	if err != nil {
		return err
	}

	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "MODEL\tMODE\tSECONDS\tPRICE/S\tSIZES")
	}

	for _, m := range models {
		if c.JSON {
			if err := json.NewEncoder(env.Out).Encode(m.Raw); err != nil {
				return err
			}

			continue
		}

		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.ID, modes(m), fmt.Sprintf("%d-%d", m.Seconds.Min, m.Seconds.Max), m.Price.PerSecond+" "+m.Price.Currency, strings.Join(m.Sizes, " "))
	}

	return table.Flush()
}

func modes(m client.Model) string {
	var list []string
	for _, mode := range m.Modes {
		list = append(list, mode.Mode)
	}

	return strings.Join(list, ",")
}

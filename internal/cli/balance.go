package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type balanceCmd struct{ serverFlags }

// Help returns a description and examples.
func (balanceCmd) Help() string {
	return "Free is available for new tasks. Held is reserved for tasks that are not final; the part that they do not use is released.\n\nExamples:\n\n  unireel balance"
}

// Run prints the balance.
func (c *balanceCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	b, err := server.Balance(ctx)
	if err != nil {
		return err
	}

	if c.JSON {
		return env.printJSON(b)
	}

	return printBalance(env.Out, b)
}

func printBalance(out io.Writer, b client.Balance) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range [][2]string{{"free", b.Free}, {"held", b.Held}, {"spent", b.Spent}, {"granted", b.Granted}} {
		fmt.Fprintf(table, "%s\t%s\t %s\n", line[0], line[1], b.Currency)
	}

	return table.Flush()
}

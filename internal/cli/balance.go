package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type balanceCmd struct{ server }

// Help teaches by examples.
func (balanceCmd) Help() string {
	return "Free is what new tasks may cost; held is kept for tasks under way and partly comes back.\n\nExamples:\n\n  unireel balance"
}

// Run shows the balance.
func (c *balanceCmd) Run(ctx context.Context, w *World) error {
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
		return w.printJSON(b)
	}

	return printBalance(w.Out, b)
}

func printBalance(out io.Writer, b client.Balance) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range [][2]string{{"free", b.Free}, {"held", b.Held}, {"spent", b.Spent}, {"granted", b.Granted}} {
		fmt.Fprintf(table, "%s\t%s\t %s\n", line[0], line[1], b.Currency)
	}

	return table.Flush()
}

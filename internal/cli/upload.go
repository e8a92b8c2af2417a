package cli

import (
	"context"
	"fmt"
	"path/filepath"
)

type uploadCmd struct {
	server
	Paths []string `arg:"" name:"file" help:"The files."`
}

// Help teaches by examples.
func (uploadCmd) Help() string {
	return "Prints a file id for each, which stands wherever a URL may. \"unireel create\" uploads local files by itself.\n\nExamples:\n\n  unireel upload face.png walk.mp4"
}

// Run uploads.
func (c *uploadCmd) Run(ctx context.Context, w *World) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	b := w.board()
	for _, path := range c.Paths {
		f, err := uploadFile(ctx, server, path, b.row(filepath.Base(path)))
		if err != nil {
			return err
		}

		if c.JSON {
			err = w.printJSON(f.Raw)
		} else {
			_, err = fmt.Fprintln(w.Out, f.ID)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

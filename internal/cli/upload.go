package cli

import (
	"context"
	"fmt"
	"path/filepath"
)

type uploadCmd struct {
	serverFlags
	Paths []string `arg:"" name:"file" help:"The files."`
}

// Help returns a description and examples.
func (uploadCmd) Help() string {
	return "Prints a file id for each file, which can be used wherever a URL can. \"unireel create\" uploads local files automatically.\n\nExamples:\n\n  unireel upload face.png walk.mp4"
}

// Run uploads the files.
func (c *uploadCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	progress := env.newProgress()
	for _, path := range c.Paths {
		f, err := uploadFile(ctx, server, path, progress.addRow(filepath.Base(path)))
		if err != nil {
			return err
		}

		if c.JSON {
			err = env.printJSON(f.Raw)
		} else {
			_, err = fmt.Fprintln(env.Out, f.ID)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

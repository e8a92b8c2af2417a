package cli

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/config"
)

// The two bodies of the R2V page, byte for byte.
var (
	//go:embed testdata/demo/example-1.json
	exampleOne []byte
	//go:embed testdata/demo/example-2.json
	exampleTwo []byte
)

// samplesAt is where the page's references are; the demo serves them from files
// that ship with the program.
const samplesAt = "https://example.com/"

type demoCmd struct {
	Out    string `name:"output" short:"o" default:"demo" type:"path" placeholder:"DIR" help:"The folder for the two videos."`
	Addr   string `name:"addr" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Where the demo's server listens; port 0 takes a free one."`
	FFmpeg string `name:"ffmpeg" env:"UNIREEL_FFMPEG" default:"ffmpeg" placeholder:"PATH" help:"The ffmpeg program."`
	Font   string `name:"font" env:"UNIREEL_FONT" type:"path" placeholder:"FILE" help:"The font of captions."`
	Once   bool   `name:"once" help:"End when both videos are there, also on a terminal."`
}

// Help teaches by examples.
func (demoCmd) Help() string {
	return `Starts a server of its own in a temporary folder, sends it the two requests of the R2V page byte for byte, and writes reference-shot.mp4 and product.mp4. The videos are previews by the embedded renderer: no key, no network, no cost. On a terminal the server then stays until Ctrl-C.

Examples:

  unireel demo

  unireel demo -o /tmp/demo --once`
}

// film is one video of the demo.
type film struct {
	name string
	body []byte
	want look
	row  *row
	task client.Task
	path string
}

// Run makes the videos.
func (c *demoCmd) Run(ctx context.Context, w *World) error {
	if check := checkFFmpeg(ctx, c.FFmpeg); !check.OK {
		return fmt.Errorf("the demo needs ffmpeg: %s. %s", check.Detail, check.Fix)
	}

	folder, err := os.MkdirTemp("", "unireel-demo-")
	if err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	defer os.RemoveAll(folder)

	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}

	cfg, err := c.setUp(w, folder)
	if err != nil {
		return err
	}

	serving, stop := context.WithCancel(ctx)

	ended := make(chan error, 1)
	go func() { ended <- w.House.Serve(serving, cfg, io.Discard) }()

	err = c.show(ctx, w, cfg, ended)

	stop()

	if served := <-ended; err == nil && served != nil && ctx.Err() == nil {
		err = served
	}

	return err
}

// setUp is a configuration of its own: neither the environment nor a file may
// turn the demo into something that costs money.
func (c *demoCmd) setUp(w *World, folder string) (config.Config, error) {
	samples := filepath.Join(folder, "samples")

	data := filepath.Join(folder, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return config.Config{}, fmt.Errorf("make the demo's folder: %w", err)
	}

	if err := os.CopyFS(samples, w.House.Samples); err != nil {
		return config.Config{}, fmt.Errorf("unpack the samples: %w", err)
	}

	flags := []string{
		"--data=" + data, "--addr=" + c.Addr, "--ffmpeg=" + c.FFmpeg, "--log-level=error",
		"--fetch-map=" + samplesAt + "=" + samples,
	}
	if c.Font != "" {
		flags = append(flags, "--font="+c.Font)
	}

	return config.Plain(flags...)
}

// show orders both videos, checks them and says how to go on.
func (c *demoCmd) show(ctx context.Context, w *World, cfg config.Config, ended chan error) error {
	profile, err := awaitServer(ctx, cfg.Data, ended)
	if err != nil {
		return err
	}

	server, err := client.New(profile.URL, profile.Key.Reveal())
	if err != nil {
		return err
	}
	defer server.Close()

	fmt.Fprintf(w.Err, "Serving at %s. Making the two videos of the R2V page:\n", profile.URL)
	b := w.board()
	films := []*film{
		{name: "reference-shot", body: exampleOne, want: look{1280, 720, 5, true}, row: b.row("reference-shot.mp4")},
		{name: "product", body: exampleTwo, want: look{1920, 1080, 10, false}, row: b.row("product.mp4")},
	}

	group, both := errgroup.WithContext(ctx)
	for _, f := range films {
		group.Go(func() error { return f.make(both, server, c) })
	}

	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return said(exitNo)
		}

		return err
	}

	for _, f := range films {
		fmt.Fprintf(w.Out, "%s: %s\n", f.path, f.want)
		fmt.Fprintf(w.Out, "  charged %s; task %s\n", orNothing(cost(f.task)), f.task.ID)

		if w.Terminal && !c.Once { // else they lead nowhere in a moment
			fmt.Fprintf(w.Out, "  video %s\n  thumbnail %s\n", f.task.VideoURL, f.task.ThumbnailURL)
		}
	}

	if !w.Terminal || c.Once {
		fmt.Fprintf(w.Out, "Both videos are verified. Keep a server: unireel serve\n")
		return nil
	}

	fmt.Fprintf(w.Out, "\nSee them play: %s/#%s\n\nThe server stays until Ctrl-C. Order your own:\n\n  curl %s/v1/video/generations -H 'Authorization: Bearer %s' \\\n    -H 'Content-Type: application/json' \\\n    -d '{\"model\": \"wan2.6-r2v-flash-720p-audio\", \"prompt\": \"character1 turns around\", \"images\": [\"https://example.com/ref-1.png\"]}'\n\nKeep one: unireel serve. Real Wan videos: DASHSCOPE_API_KEY=sk-... unireel serve\n", profile.URL, profile.Key.Reveal(), profile.URL, profile.Key.Reveal())

	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		ended <- err
		return err
	}
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}

	return text
}

// make orders the film, waits for it, fetches it and looks at it.
func (f *film) make(ctx context.Context, server *client.Client, c *demoCmd) error {
	t, err := server.CreateRaw(ctx, f.body)
	if err != nil {
		return fmt.Errorf("order %s: %w", f.name, err)
	}

	if t, err = server.Wait(ctx, t.ID, f.row.task); err != nil {
		return fmt.Errorf("wait for %s: %w", f.name, err)
	}

	if t.Status != client.Completed {
		reason := string(t.Status)
		if t.Error != nil {
			reason = t.Error.Message
		}

		return fmt.Errorf("%s was not made: %s", f.name, reason)
	}

	f.task, f.path = t, filepath.Join(c.Out, f.name+".mp4")
	if err := server.Download(ctx, t.ID, f.path, nil); err != nil {
		return fmt.Errorf("fetch %s: %w", f.name, err)
	}

	got, err := probe(ctx, probeOf(c.FFmpeg), f.path)
	if err != nil {
		return err
	}

	if err := f.want.check(got); err != nil {
		return fmt.Errorf("%s is not what was asked for: %w", f.path, err)
	}

	f.row.show(100, "verified")

	return nil
}

// awaitServer waits until the server has written its profile and answers.
func awaitServer(ctx context.Context, folder string, ended chan error) (config.Profile, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()

	for {
		profile, err := config.ReadProfile(folder)
		if err == nil && profile.URL != "" {
			return profile, nil
		}

		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return config.Profile{}, err
		}

		select {
		case <-tick.C:
		case err := <-ended:
			ended <- nil

			if err == nil {
				err = errors.New("it ended by itself")
			}

			return config.Profile{}, fmt.Errorf("the demo's server did not start: %w", err)
		case <-ctx.Done():
			return config.Profile{}, errors.New("the demo's server did not start within a minute")
		}
	}
}

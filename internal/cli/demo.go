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

// The two example requests of the R2V page, byte for byte.
var (
	//go:embed testdata/demo/example-1.json
	exampleOne []byte
	//go:embed testdata/demo/example-2.json
	exampleTwo []byte
)

// samplesURL is the base URL of the page's references. The demo reads them from embedded
// files instead.
const samplesURL = "https://example.com/"

type demoCmd struct {
	Out    string `name:"output" short:"o" default:"demo" type:"path" placeholder:"DIR" help:"The folder for the two videos."`
	Addr   string `name:"addr" default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"The address on which the demo's server listens. Port 0 chooses a free port."`
	FFmpeg string `name:"ffmpeg" env:"UNIREEL_FFMPEG" default:"ffmpeg" placeholder:"PATH" help:"The ffmpeg program."`
	Font   string `name:"font" env:"UNIREEL_FONT" type:"path" placeholder:"FILE" help:"The font of captions."`
	Once   bool   `name:"once" help:"Exit when both videos are ready, also on a terminal."`
}

// Help returns a description and examples.
func (demoCmd) Help() string {
	return `Starts a server in a temporary folder, sends it the two example requests of the R2V page byte for byte, and writes reference-shot.mp4 and product.mp4. The videos are previews by the embedded renderer: no key, no network, no cost. On a terminal the server then runs until Ctrl-C.

Examples:

  unireel demo

  unireel demo -o /tmp/demo --once`
}

// demoVideo is one video of the demo.
type demoVideo struct {
	name string
	body []byte
	want videoSpec
	row  *progressRow
	task client.Task
	path string
}

// Run renders the two videos.
func (c *demoCmd) Run(ctx context.Context, env *Env) error {
	if check := checkFFmpeg(ctx, c.FFmpeg); !check.OK {
		return fmt.Errorf("the demo needs ffmpeg: %s. %s", check.Detail, check.Fix)
	}

	folder, err := os.MkdirTemp("", "unireel-demo-")
	if err != nil {
		return fmt.Errorf("create the demo's folder: %w", err)
	}
	defer os.RemoveAll(folder)

	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("create the output folder: %w", err)
	}

	cfg, err := c.loadConfig(env, folder)
	if err != nil {
		return err
	}

	serveCtx, stop := context.WithCancel(ctx)

	ended := make(chan error, 1)
	go func() { ended <- env.App.Serve(serveCtx, cfg, io.Discard) }()

	err = c.makeVideos(ctx, env, cfg, ended)

	stop()

	if serveErr := <-ended; err == nil && serveErr != nil && ctx.Err() == nil {
		err = serveErr
	}

	return err
}

// loadConfig returns the configuration of the demo's server. It ignores the environment
// and configuration files, which could make the demo cost money.
func (c *demoCmd) loadConfig(env *Env, folder string) (config.Config, error) {
	samples := filepath.Join(folder, "samples")

	data := filepath.Join(folder, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return config.Config{}, fmt.Errorf("create the demo's folder: %w", err)
	}

	if err := os.CopyFS(samples, env.App.Samples); err != nil {
		return config.Config{}, fmt.Errorf("unpack the samples: %w", err)
	}

	flags := []string{
		"--data=" + data, "--addr=" + c.Addr, "--ffmpeg=" + c.FFmpeg, "--log-level=error",
		"--fetch-map=" + samplesURL + "=" + samples,
	}
	if c.Font != "" {
		flags = append(flags, "--font="+c.Font)
	}

	return config.LoadFlagsOnly(flags...)
}

// makeVideos creates both videos, checks them and prints the next steps.
func (c *demoCmd) makeVideos(ctx context.Context, env *Env, cfg config.Config, ended chan error) error {
	profile, err := awaitServer(ctx, cfg.Data, ended)
	if err != nil {
		return err
	}

	server, err := client.New(profile.URL, profile.Key.Reveal())
	if err != nil {
		return err
	}
	defer server.Close()

	fmt.Fprintf(env.Err, "Serving at %s. Rendering the two videos of the R2V page:\n", profile.URL)
	progress := env.newProgress()
	videos := []*demoVideo{
		{name: "reference-shot", body: exampleOne, want: videoSpec{1280, 720, 5, true}, row: progress.addRow("reference-shot.mp4")},
		{name: "product", body: exampleTwo, want: videoSpec{1920, 1080, 10, false}, row: progress.addRow("product.mp4")},
	}

	group, groupCtx := errgroup.WithContext(ctx)
	for _, video := range videos {
		group.Go(func() error { return video.run(groupCtx, server, c) })
	}

	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return exitError(exitFailure)
		}

		return err
	}

	for _, video := range videos {
		fmt.Fprintf(env.Out, "%s: %s\n", video.path, video.want)
		fmt.Fprintf(env.Out, "  charged %s; task %s\n", orNothing(cost(video.task)), video.task.ID)

		if env.Terminal && !c.Once { // otherwise the server is about to stop, and the links with it
			fmt.Fprintf(env.Out, "  video %s\n  thumbnail %s\n", video.task.VideoURL, video.task.ThumbnailURL)
		}
	}

	if !env.Terminal || c.Once {
		fmt.Fprintf(env.Out, "Both videos are verified. Run your own server: unireel serve\n")
		return nil
	}

	fmt.Fprintf(env.Out, `
Play them at: %s/#%s

The server runs until Ctrl-C. Create your own video:

  curl %s/v1/video/generations -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"model": "wan2.6-r2v-flash-720p-audio", "prompt": "character1 turns around", "images": ["https://example.com/ref-1.png"]}'

Run your own server: unireel serve. Real Wan videos: DASHSCOPE_API_KEY=sk-... unireel serve
`, profile.URL, profile.Key.Reveal(), profile.URL, profile.Key.Reveal())

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

// run creates the video, waits for it, downloads it and checks it.
func (video *demoVideo) run(ctx context.Context, server *client.Client, c *demoCmd) error {
	t, err := server.CreateRaw(ctx, video.body)
	if err != nil {
		return fmt.Errorf("create %s: %w", video.name, err)
	}

	if t, err = server.Wait(ctx, t.ID, video.row.showTask); err != nil {
		return fmt.Errorf("wait for %s: %w", video.name, err)
	}

	if t.Status != client.Completed {
		reason := string(t.Status)
		if t.Error != nil {
			reason = t.Error.Message
		}

		return fmt.Errorf("%s was not generated: %s", video.name, reason)
	}

	video.task = t
	video.path = filepath.Join(c.Out, video.name+".mp4")

	if err := server.Download(ctx, t.ID, video.path, nil); err != nil {
		return fmt.Errorf("download %s: %w", video.name, err)
	}

	got, err := probe(ctx, ffprobePath(c.FFmpeg), video.path)
	if err != nil {
		return err
	}

	if err := video.want.check(got); err != nil {
		return fmt.Errorf("%s is not the requested video: %w", video.path, err)
	}

	video.row.update(100, "verified")

	return nil
}

// awaitServer waits until the server has written its profile, which it does once it
// listens.
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
				err = errors.New("it exited without an error")
			}

			return config.Profile{}, fmt.Errorf("the demo's server did not start: %w", err)
		case <-ctx.Done():
			return config.Profile{}, errors.New("the demo's server did not start within a minute")
		}
	}
}

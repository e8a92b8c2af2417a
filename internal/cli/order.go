package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/unireel/unireel/client"
)

// maxBody is how many bytes of a raw body are read: what the server takes.
const maxBody = 32 << 20

// order is every field of a request as flags.
type order struct {
	From string `name:"from" placeholder:"FILE" help:"Send this JSON body as it is; - reads it from the standard input."`

	Model      string   `name:"model" placeholder:"ID" help:"The model; see unireel models."`
	Prompt     string   `name:"prompt" placeholder:"TEXT" help:"What the video shows; for Wan 2.6 at most 1500 characters."`
	Video      []string `name:"video" sep:"none" placeholder:"FILE|URL|ID" help:"A reference video. May be repeated."`
	Image      []string `name:"image" sep:"none" placeholder:"FILE|URL|ID" help:"A reference picture, or the picture of an image-to-video model. May be repeated."`
	Reference  []string `name:"reference" sep:"none" placeholder:"FILE|URL|ID" help:"References in a mixed order, instead of --video and --image. May be repeated."`
	Audio      string   `name:"audio" placeholder:"FILE|URL|ID" help:"The guide audio."`
	Size       string   `name:"size" placeholder:"W*H" help:"Pixels, such as 1280*720. Default: 16:9 of the model."`
	Duration   int      `name:"duration" placeholder:"SECONDS" help:"The length of the video. Default: 5."`
	Seed       *int64   `name:"seed" placeholder:"N" help:"0 to 2147483647 makes it repeatable; -1 is random."`
	ShotType   string   `name:"shot-type" placeholder:"single|multi" help:"One shot or several."`
	Negative   string   `name:"negative-prompt" placeholder:"TEXT" help:"What it must not show, at most 500 characters."`
	Expand     *bool    `name:"expand" negatable:"" help:"Let the supplier write the prompt out. Default: the supplier's."`
	Watermark  *bool    `name:"watermark" negatable:"" help:"Let the supplier put its mark on it."`
	Preview    bool     `name:"preview" help:"Make a free storyboard instead of the video."`
	StartBy    int64    `name:"start-by" placeholder:"UNIXTIME" help:"End free of charge when it was not submitted by then."`
	WebhookURL string   `name:"webhook-url" placeholder:"URL" help:"Where the server tells about the end."`
	Trust      bool     `name:"trust-references" help:"Let the supplier fetch references that the server cannot reach."`

	Metadata map[string]string `name:"metadata" mapsep:"none" placeholder:"K=V" help:"A pair to keep with the task. May be repeated."`
}

// check refuses what no server needs to be asked about.
func (o *order) check() error {
	if o.From != "" {
		if !reflect.DeepEqual(*o, order{From: o.From}) {
			return usagef("--from sends a whole body as it is; leave out the other flags of the order, such as --model and --preview")
		}

		return nil
	}

	switch {
	case o.Model == "":
		return usagef("--model is missing; \"unireel models\" lists them")
	case o.Prompt == "":
		return usagef("--prompt is missing: say what the video shows")
	case len(o.Reference) > 0 && len(o.Video)+len(o.Image) > 0:
		return usagef("--reference gives a mixed order and excludes --video and --image")
	}

	for _, list := range [][]string{o.Video, o.Image, o.Reference, {o.Audio}} {
		for _, ref := range list {
			if isLocal(ref) {
				if info, err := os.Stat(ref); err != nil || info.IsDir() {
					return usagef("%s is neither a file nor a URL nor a file id", ref)
				}
			}
		}
	}

	return nil
}

// isLocal says whether a reference is a path of this machine.
func isLocal(ref string) bool {
	return ref != "" && !strings.Contains(ref, "://") && !strings.HasPrefix(ref, "data:") && !strings.HasPrefix(ref, "file_")
}

// body uploads what is local and writes the request.
func (o *order) body(ctx context.Context, w *World, c *client.Client, b *board) ([]byte, error) {
	if o.From != "" {
		return readBody(w, o.From)
	}

	r := client.Request{
		Model: o.Model, Prompt: o.Prompt, Size: o.Size, Duration: o.Duration, Watermark: o.Watermark,
		WebhookURL: o.WebhookURL, Metadata: o.Metadata, Preview: o.Preview, StartBy: o.StartBy,
		Extra: client.Extra{NegativePrompt: o.Negative, ShotType: o.ShotType, EnablePromptExpansion: o.Expand, Seed: o.Seed},
	}
	if o.Trust {
		r.ReferencesCheck = "trust"
	}

	ups := uploads{ctx: ctx, client: c, board: b, done: map[string]string{}}
	r.Videos = ups.all(o.Video)

	r.Images = ups.all(o.Image)
	for _, ref := range ups.all(o.Reference) {
		r.References = append(r.References, client.Reference{URL: ref})
	}

	if o.Audio != "" {
		r.Extra.Audio = ups.all([]string{o.Audio})[0]
	}

	if ups.err != nil {
		return nil, ups.err
	}

	if len(r.Images) == 1 && len(r.Videos) == 0 && !strings.Contains(r.Model, "r2v") {
		r.Image = r.Images[0]
		r.Images = nil
	}

	return json.Marshal(r)
}

func readBody(w *World, path string) ([]byte, error) {
	in := w.In

	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("--from: %s", err)
		}
		defer f.Close()

		in = f
	}

	body, err := io.ReadAll(io.LimitReader(in, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}

	if len(body) > maxBody {
		return nil, usagef("--from: the body is larger than %d MiB; upload big media with \"unireel upload\"", maxBody>>20)
	}

	return body, nil
}

// uploads brings local files to the server, each once.
type uploads struct {
	ctx    context.Context
	client *client.Client
	board  *board
	done   map[string]string // path -> file id
	err    error             // the first; nothing is sent after it
}

// all replaces paths by file ids.
func (u *uploads) all(refs []string) []string {
	list := make([]string, len(refs))
	for i, ref := range refs {
		list[i] = ref
		if !isLocal(ref) || u.err != nil {
			continue
		}

		if u.done[ref] == "" {
			var f client.File
			if f, u.err = uploadFile(u.ctx, u.client, ref, u.board.row(filepath.Base(ref))); u.err != nil {
				continue
			}

			u.done[ref] = f.ID
		}

		list[i] = u.done[ref]
	}

	return list
}

func uploadFile(ctx context.Context, c *client.Client, path string, r *row) (client.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return client.File{}, usagef("%s", err)
	}
	defer f.Close()

	sent, err := c.Upload(ctx, client.Upload{Name: filepath.Base(path), Body: f, Progress: func(done, size int64) {
		r.show(int(done*100/max(size, 1)), "uploading")
	}})
	if err != nil {
		return client.File{}, fmt.Errorf("upload %s: %w", path, err)
	}

	r.show(100, "uploaded as "+sent.ID)

	return sent, nil
}

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

// maxBodyBytes limits how many bytes of a raw body are read. It is the server's limit.
const maxBodyBytes = 32 << 20

// requestFlags are the fields of a request as flags.
type requestFlags struct {
	From string `name:"from" placeholder:"FILE" help:"Send this JSON body unchanged; - reads it from standard input."`

	Model           string   `name:"model" placeholder:"ID" help:"The model; see unireel models."`
	Prompt          string   `name:"prompt" placeholder:"TEXT" help:"What the video shows; for Wan 2.6 at most 1500 characters."`
	Video           []string `name:"video" sep:"none" placeholder:"FILE|URL|ID" help:"A reference video. May be repeated."`
	Image           []string `name:"image" sep:"none" placeholder:"FILE|URL|ID" help:"A reference image, or the image of an image-to-video model. May be repeated."`
	Reference       []string `name:"reference" sep:"none" placeholder:"FILE|URL|ID" help:"A reference image or video, in any order; use it instead of --video and --image. May be repeated."`
	Audio           string   `name:"audio" placeholder:"FILE|URL|ID" help:"The guide audio."`
	Size            string   `name:"size" placeholder:"W*H" help:"Width and height in pixels, such as 1280*720. Default: the model's 16:9 size."`
	Duration        int      `name:"duration" placeholder:"SECONDS" help:"The length of the video in seconds. Default: 5."`
	Seed            *int64   `name:"seed" placeholder:"N" help:"0 to 2147483647 makes the video reproducible; -1 means random."`
	ShotType        string   `name:"shot-type" placeholder:"single|multi" help:"One shot or several."`
	NegativePrompt  string   `name:"negative-prompt" placeholder:"TEXT" help:"What the video must not show, at most 500 characters."`
	ExpandPrompt    *bool    `name:"expand" negatable:"" help:"Let the supplier expand the prompt. Default: the supplier's default."`
	Watermark       *bool    `name:"watermark" negatable:"" help:"Let the supplier add its watermark."`
	Preview         bool     `name:"preview" help:"Generate a free preview instead of the video."`
	StartBy         int64    `name:"start-by" placeholder:"UNIXTIME" help:"If the task is not submitted by then, it fails and costs nothing."`
	WebhookURL      string   `name:"webhook-url" placeholder:"URL" help:"The URL to which the server sends the task's events."`
	TrustReferences bool     `name:"trust-references" help:"Let the supplier fetch references that the server cannot reach."`

	Metadata map[string]string `name:"metadata" mapsep:"none" placeholder:"K=V" help:"A pair that is stored with the task. May be repeated."`
}

// validate returns the errors that can be found without the server.
func (o *requestFlags) validate() error {
	if o.From != "" {
		if !reflect.DeepEqual(*o, requestFlags{From: o.From}) {
			return usagef("--from sends a whole body unchanged; leave out the other flags of the request, such as --model and --preview")
		}

		return nil
	}

	switch {
	case o.Model == "":
		return usagef("--model is missing; \"unireel models\" lists the models")
	case o.Prompt == "":
		return usagef("--prompt is missing: say what the video shows")
	case len(o.Reference) > 0 && len(o.Video)+len(o.Image) > 0:
		return usagef("--reference cannot be combined with --video and --image")
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

// isLocal reports whether a reference is the path of a local file.
func isLocal(ref string) bool {
	return ref != "" && !strings.Contains(ref, "://") && !strings.HasPrefix(ref, "data:") && !strings.HasPrefix(ref, "file_")
}

// requestBody uploads local files and returns the request's JSON.
func (o *requestFlags) requestBody(ctx context.Context, env *Env, c *client.Client, progress *progressDisplay) ([]byte, error) {
	if o.From != "" {
		return readBody(env, o.From)
	}

	r := client.Request{
		Model:      o.Model,
		Prompt:     o.Prompt,
		Size:       o.Size,
		Duration:   o.Duration,
		Watermark:  o.Watermark,
		WebhookURL: o.WebhookURL,
		Metadata:   o.Metadata,
		Preview:    o.Preview,
		StartBy:    o.StartBy,
		Extra:      client.Extra{NegativePrompt: o.NegativePrompt, ShotType: o.ShotType, EnablePromptExpansion: o.ExpandPrompt, Seed: o.Seed},
	}
	if o.TrustReferences {
		r.ReferencesCheck = "trust"
	}

	files := uploader{ctx: ctx, client: c, progress: progress, fileIDs: map[string]string{}}
	r.Videos = files.resolve(o.Video)
	r.Images = files.resolve(o.Image)

	for _, ref := range files.resolve(o.Reference) {
		r.References = append(r.References, client.Reference{URL: ref})
	}

	if o.Audio != "" {
		r.Extra.Audio = files.resolve([]string{o.Audio})[0]
	}

	if files.err != nil {
		return nil, files.err
	}

	if len(r.Images) == 1 && len(r.Videos) == 0 && !strings.Contains(r.Model, "r2v") {
		r.Image = r.Images[0]
		r.Images = nil
	}

	return json.Marshal(r)
}

func readBody(env *Env, path string) ([]byte, error) {
	in := env.In

	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("--from: %s", err)
		}
		defer f.Close()

		in = f
	}

	body, err := io.ReadAll(io.LimitReader(in, maxBodyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}

	if len(body) > maxBodyBytes {
		return nil, usagef("--from: the body is larger than %d MiB; upload large media with \"unireel upload\"", maxBodyBytes>>20)
	}

	return body, nil
}

// uploader uploads local files, each only once.
type uploader struct {
	ctx      context.Context
	client   *client.Client
	progress *progressDisplay
	fileIDs  map[string]string // path -> file id
	err      error             // the first error; nothing is uploaded after it
}

// resolve uploads the local files among refs and returns refs with file ids instead of
// their paths.
func (u *uploader) resolve(refs []string) []string {
	list := make([]string, len(refs))
	for i, ref := range refs {
		list[i] = ref
		if !isLocal(ref) || u.err != nil {
			continue
		}

		if u.fileIDs[ref] == "" {
			var f client.File
			if f, u.err = uploadFile(u.ctx, u.client, ref, u.progress.addRow(filepath.Base(ref))); u.err != nil {
				continue
			}

			u.fileIDs[ref] = f.ID
		}

		list[i] = u.fileIDs[ref]
	}

	return list
}

func uploadFile(ctx context.Context, c *client.Client, path string, r *progressRow) (client.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return client.File{}, usagef("%s", err)
	}
	defer f.Close()

	sent, err := c.Upload(ctx, client.Upload{Name: filepath.Base(path), Body: f, Progress: func(done, size int64) {
		r.update(int(done*100/max(size, 1)), "uploading")
	}})
	if err != nil {
		return client.File{}, fmt.Errorf("upload %s: %w", path, err)
	}

	r.update(100, "uploaded as "+sent.ID)

	return sent, nil
}

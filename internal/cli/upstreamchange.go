package cli

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/client"
)

type upstreamAddCmd struct {
	operator
	Name             string            `arg:"" help:"What you call it: a-z, 0-9, - and _."`
	Provider         string            `required:"" placeholder:"KIND" help:"The kind of supplier: dashscope, wavespeed, fal, openai (any server with /v1/videos) or uniall."`
	BaseURL          string            `name:"base-url" placeholder:"URL" help:"Where it is. Default: the supplier's own address, where it has one."`
	APIKey           string            `name:"api-key" env:"UNIREEL_UPSTREAM_KEY" placeholder:"KEY" help:"Its API key; better given by the environment. The server keeps it in its data folder, never in the database."`
	APIKeyEnv        string            `name:"api-key-env" placeholder:"NAME" help:"The variable of the server's environment that holds the key."`
	APIKeyFile       string            `name:"api-key-file" placeholder:"FILE" help:"The file on the server's host that holds the key."`
	Region           string            `placeholder:"REGION" help:"DashScope: the key's region."`
	Workspace        string            `placeholder:"ID" help:"DashScope: the key's workspace."`
	Models           []string          `placeholder:"MODEL" help:"The supplier's models that it may serve. Default: all."`
	Serves           []string          `placeholder:"MODEL" help:"Our models that it serves, ids or families. Default: all that its kind of supplier has."`
	As               string            `placeholder:"MODEL" help:"With --serves: the supplier's name of them."`
	Lacks            []string          `placeholder:"FEATURE" help:"With --serves: what it cannot do: guide_audio, negative_prompt, seed, watermark, prompt_expansion, multi, single."`
	Order            int               `placeholder:"N" help:"1 (the default) comes first; a later one serves what the earlier ones cannot take."`
	Weight           int               `placeholder:"N" help:"Its share among those of the same order. Default: 1."`
	SubmitsPerSecond float64           `name:"submits-per-second" placeholder:"N" help:"Submissions a second that it takes for one model."`
	InProgress       int               `name:"in-progress" placeholder:"N" help:"Tasks in progress at once that it takes for one model."`
	QueriesPerSecond float64           `name:"queries-per-second" placeholder:"N" help:"Status queries a second that it takes."`
	Setting          map[string]string `placeholder:"KEY=VALUE" help:"A word that only this kind of supplier understands."`
}

// Help teaches by examples.
func (upstreamAddCmd) Help() string {
	return `Examples:

  UNIREEL_UPSTREAM_KEY=... unireel upstream add wave --provider wavespeed --order 2
  unireel upstream add gpu --provider openai --base-url http://10.0.0.8:8000 \
    --serves wan2.6-video-720p --as Wan-AI/Wan2.2-T2V-A14B-Diffusers --lacks guide_audio,prompt_expansion,watermark,multi
  unireel upstream test wave`
}

// Run adds it.
func (c *upstreamAddCmd) Run(ctx context.Context, w *World) error {
	n := client.NewUpstream{
		Name: c.Name, Provider: c.Provider, BaseURL: c.BaseURL, APIKey: c.APIKey, APIKeyEnv: c.APIKeyEnv, APIKeyFile: c.APIKeyFile,
		Region: c.Region, Workspace: c.Workspace, Settings: c.Setting, Models: c.Models, Order: c.Order, Weight: c.Weight,
	}
	if c.SubmitsPerSecond > 0 || c.InProgress > 0 || c.QueriesPerSecond > 0 {
		n.Limits = &client.NewLimits{SubmitsPerSecond: c.SubmitsPerSecond, InProgress: c.InProgress, QueriesPerSecond: c.QueriesPerSecond}
	}

	if len(c.Serves) > 0 {
		n.Routes = []client.NewRoute{{Models: c.Serves, As: c.As, Lacks: c.Lacks}}
	} else if c.As != "" || len(c.Lacks) > 0 {
		return usagef("--as and --lacks need --serves, which says of which of our models")
	}

	return c.change(ctx, w, func(admin client.Admin) (client.Upstream, error) { return admin.AddUpstream(ctx, n) },
		"%[1]s was added; ask it with: unireel upstream test %[1]s\n")
}

// change makes one and says how the upstream then stands.
func (o operator) change(ctx context.Context, w *World, do func(client.Admin) (client.Upstream, error), said string) error {
	return o.with(ctx, w, func(admin client.Admin) error {
		u, err := do(admin)
		if err != nil {
			return err
		}

		if o.JSON {
			return w.printJSON(u)
		}

		fmt.Fprintf(w.Out, said, u.Name, u.InProgress, u.Gate)

		return nil
	})
}

type upstreamNameCmd struct {
	operator
	Name string `arg:"" help:"The upstream's name."`
}

type upstreamPauseCmd struct{ upstreamNameCmd }

// Help teaches by examples.
func (upstreamPauseCmd) Help() string { return "Examples:\n\n  unireel upstream pause dashscope" }

// Run pauses it.
func (c *upstreamPauseCmd) Run(ctx context.Context, w *World) error {
	return c.change(ctx, w, func(admin client.Admin) (client.Upstream, error) { return admin.PauseUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks are in progress there and go on\n")
}

type upstreamResumeCmd struct{ upstreamNameCmd }

// Help teaches by examples.
func (upstreamResumeCmd) Help() string { return "Examples:\n\n  unireel upstream resume dashscope" }

// Run resumes it.
func (c *upstreamResumeCmd) Run(ctx context.Context, w *World) error {
	return c.change(ctx, w, func(admin client.Admin) (client.Upstream, error) { return admin.ResumeUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks are in progress there\n")
}

type upstreamDrainCmd struct{ upstreamNameCmd }

// Help teaches by examples.
func (upstreamDrainCmd) Help() string { return "Examples:\n\n  unireel upstream drain dashscope" }

// Run drains it.
func (c *upstreamDrainCmd) Run(ctx context.Context, w *World) error {
	return c.change(ctx, w, func(admin client.Admin) (client.Upstream, error) { return admin.DrainUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks are in progress there and go on\n")
}

type upstreamRemoveCmd struct{ upstreamNameCmd }

// Help teaches by examples.
func (upstreamRemoveCmd) Help() string { return "Examples:\n\n  unireel upstream remove wave" }

// Run removes it.
func (c *upstreamRemoveCmd) Run(ctx context.Context, w *World) error {
	return c.change(ctx, w, func(admin client.Admin) (client.Upstream, error) { return admin.RemoveUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks are in progress there and go on\n")
}

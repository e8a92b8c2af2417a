package cli

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/client"
)

type upstreamAddCmd struct {
	operatorFlags
	Name             string            `arg:"" help:"Its name, chosen by you: a-z, 0-9, - and _."`
	Provider         string            `required:"" placeholder:"KIND" help:"The kind of supplier: dashscope, wavespeed, fal, openai (any server with /v1/videos) or uniall."`
	BaseURL          string            `name:"base-url" placeholder:"URL" help:"Its address. Default: the supplier's own address, if it has one."`
	APIKey           string            `name:"api-key" env:"UNIREEL_UPSTREAM_KEY" placeholder:"KEY" help:"Its API key; set it in the environment rather than as a flag. The server stores it in its data folder, never in the database."`
	APIKeyEnv        string            `name:"api-key-env" placeholder:"NAME" help:"The environment variable of the server that holds the key."`
	APIKeyFile       string            `name:"api-key-file" placeholder:"FILE" help:"The file on the server's host that holds the key."`
	Region           string            `placeholder:"REGION" help:"DashScope: the key's region."`
	Workspace        string            `placeholder:"ID" help:"DashScope: the key's workspace."`
	Models           []string          `placeholder:"MODEL" help:"The supplier's models that may be used. Default: all."`
	Serves           []string          `placeholder:"MODEL" help:"Unireel's models that it serves, ids or families. Default: all that its kind of supplier offers."`
	SupplierModel    string            `placeholder:"MODEL" help:"With --serves: the supplier's name of the model."`
	Unsupported      []string          `placeholder:"FEATURE" help:"With --serves: features that it cannot serve: guide_audio, negative_prompt, seed, watermark, prompt_expansion, multi, single."`
	Order            int               `placeholder:"N" help:"1 (the default) is tried first; an upstream with a higher order gets what those with a lower order cannot accept."`
	Weight           int               `placeholder:"N" help:"Its share among upstreams of the same order. Default: 1."`
	SubmitsPerSecond float64           `name:"submits-per-second" placeholder:"N" help:"Submissions per second that it accepts for one model."`
	InProgress       int               `name:"in-progress" placeholder:"N" help:"Tasks that it accepts for one model at the same time."`
	QueriesPerSecond float64           `name:"queries-per-second" placeholder:"N" help:"Status queries per second that it accepts."`
	Setting          map[string]string `placeholder:"KEY=VALUE" help:"A setting that only this kind of supplier understands."`
}

// Help returns examples.
func (upstreamAddCmd) Help() string {
	return `Examples:

  UNIREEL_UPSTREAM_KEY=... unireel upstream add wave --provider wavespeed --order 2
  unireel upstream add gpu --provider openai --base-url http://10.0.0.8:8000 \
    --serves wan2.6-video-720p --supplier-model Wan-AI/Wan2.2-T2V-A14B-Diffusers --unsupported guide_audio,prompt_expansion,watermark,multi
  unireel upstream test wave`
}

// Run adds the upstream.
func (c *upstreamAddCmd) Run(ctx context.Context, env *Env) error {
	n := client.NewUpstream{
		Name:       c.Name,
		Provider:   c.Provider,
		BaseURL:    c.BaseURL,
		APIKey:     c.APIKey,
		APIKeyEnv:  c.APIKeyEnv,
		APIKeyFile: c.APIKeyFile,
		Region:     c.Region,
		Workspace:  c.Workspace,
		Settings:   c.Setting,
		Models:     c.Models,
		Order:      c.Order,
		Weight:     c.Weight,
	}
	if c.SubmitsPerSecond > 0 || c.InProgress > 0 || c.QueriesPerSecond > 0 {
		n.Limits = &client.NewLimits{SubmitsPerSecond: c.SubmitsPerSecond, InProgress: c.InProgress, QueriesPerSecond: c.QueriesPerSecond}
	}

	if len(c.Serves) > 0 {
		n.Routes = []client.NewRoute{{Models: c.Serves, SupplierModel: c.SupplierModel, Unsupported: c.Unsupported}}
	} else if c.SupplierModel != "" || len(c.Unsupported) > 0 {
		return usagef("--supplier-model and --unsupported need --serves, which says to which models they apply")
	}

	return c.changeUpstream(ctx, env, func(admin client.Admin) (client.Upstream, error) { return admin.AddUpstream(ctx, n) },
		"%[1]s was added; test it with: unireel upstream test %[1]s\n")
}

// changeUpstream calls do, which changes an upstream, and prints the upstream's new state.
func (o operatorFlags) changeUpstream(ctx context.Context, env *Env, do func(client.Admin) (client.Upstream, error), format string) error {
	return o.withAdmin(ctx, env, func(admin client.Admin) error {
		u, err := do(admin)
		if err != nil {
			return err
		}

		if o.JSON {
			return env.printJSON(u)
		}

		fmt.Fprintf(env.Out, format, u.Name, u.InProgress, u.Submissions)

		return nil
	})
}

type upstreamNameCmd struct {
	operatorFlags
	Name string `arg:"" help:"The upstream's name."`
}

type upstreamPauseCmd struct{ upstreamNameCmd }

// Help returns examples.
func (upstreamPauseCmd) Help() string { return "Examples:\n\n  unireel upstream pause dashscope" }

// Run pauses the upstream.
func (c *upstreamPauseCmd) Run(ctx context.Context, env *Env) error {
	return c.changeUpstream(ctx, env, func(admin client.Admin) (client.Upstream, error) { return admin.PauseUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks in progress there continue\n")
}

type upstreamResumeCmd struct{ upstreamNameCmd }

// Help returns examples.
func (upstreamResumeCmd) Help() string { return "Examples:\n\n  unireel upstream resume dashscope" }

// Run resumes the upstream.
func (c *upstreamResumeCmd) Run(ctx context.Context, env *Env) error {
	return c.changeUpstream(ctx, env, func(admin client.Admin) (client.Upstream, error) { return admin.ResumeUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks are in progress there\n")
}

type upstreamDrainCmd struct{ upstreamNameCmd }

// Help returns examples.
func (upstreamDrainCmd) Help() string { return "Examples:\n\n  unireel upstream drain dashscope" }

// Run drains the upstream.
func (c *upstreamDrainCmd) Run(ctx context.Context, env *Env) error {
	return c.changeUpstream(ctx, env, func(admin client.Admin) (client.Upstream, error) { return admin.DrainUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks in progress there continue\n")
}

type upstreamRemoveCmd struct{ upstreamNameCmd }

// Help returns examples.
func (upstreamRemoveCmd) Help() string { return "Examples:\n\n  unireel upstream remove wave" }

// Run removes the upstream.
func (c *upstreamRemoveCmd) Run(ctx context.Context, env *Env) error {
	return c.changeUpstream(ctx, env, func(admin client.Admin) (client.Upstream, error) { return admin.RemoveUpstream(ctx, c.Name) },
		"%s is %[3]s; %[2]d tasks in progress there continue\n")
}

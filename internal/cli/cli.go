// Package cli is the command line, with one file per command. Customers' commands talk to
// a server through package client. Operators' commands use the same client through the
// data folder's socket, or over the network with a key with the scope admin. The commands
// serve, sim and demo start a server. On a task's path this package comes first, and it
// has no rules about tasks: it prints what the server responds. It never asks for input
// that a script could not give.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/config"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // a failed task, or an error response of the server
	exitUsage   = 2 // invalid command line
)

// Env is the environment of a command.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // whether Err is a terminal: then progress bars are drawn, otherwise plain lines
	App      App
}

// Terminal reports whether a file is a terminal.
func Terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// commands lists every command. A new command is a new file and one line here.
type commands struct {
	Create createCmd `cmd:"" group:"Videos" help:"Create a video and download it."`
	Get    getCmd    `cmd:"" group:"Videos" help:"Show a task."`
	Watch  watchCmd  `cmd:"" group:"Videos" help:"Wait for the end of a task and show its progress."`
	List   listCmd   `cmd:"" group:"Videos" help:"List tasks, newest first."`
	Cancel cancelCmd `cmd:"" group:"Videos" help:"Cancel tasks."`
	Delete deleteCmd `cmd:"" group:"Videos" help:"Cancel tasks and hide them."`
	Batch  batchCmd  `cmd:"" group:"Videos" help:"Create the videos that a file lists; a stopped run can be continued."`

	Models  modelsCmd  `cmd:"" group:"Account" help:"List the models."`
	Balance balanceCmd `cmd:"" group:"Account" help:"Show the account's credit."`
	Usage   usageCmd   `cmd:"" group:"Account" help:"Sum up usage by day, model and key."`
	Upload  uploadCmd  `cmd:"" group:"Account" help:"Upload references."`
	Webhook webhookCmd `cmd:"" group:"Account" help:"Manage webhooks: endpoints, secrets, deliveries."`

	Serve    serveCmd    `cmd:"" group:"Operating" help:"Run the server."`
	Account  accountCmd  `cmd:"" group:"Operating" help:"Create, change and list accounts."`
	Key      keyCmd      `cmd:"" group:"Operating" help:"Create, change, list and revoke API keys."`
	Credit   creditCmd   `cmd:"" group:"Operating" help:"Grant and show credit."`
	Upstream upstreamCmd `cmd:"" group:"Operating" help:"Manage and test the accounts at suppliers."`
	Audit    auditCmd    `cmd:"" group:"Operating" help:"Show what operators changed."`
	Migrate  migrateCmd  `cmd:"" group:"Operating" help:"Migrate the database to this version."`
	Doctor   doctorCmd   `cmd:"" group:"Operating" help:"Check the installation."`

	Demo       demoCmd       `cmd:"" group:"More" help:"Render two videos on this host, without keys or configuration."`
	Sim        simCmd        `cmd:"" group:"More" help:"Run a simulated supplier."`
	Version    versionCmd    `cmd:"" group:"More" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"More" help:"Print a shell's completion script."`
}

const description = `Generates videos from references, images and text.

Try it: "unireel demo". Run it: "unireel serve". Create a video: "unireel create --help".`

// exitPanic is the panic value with which kong's Exit returns to Run instead of ending
// the process.
type exitPanic int

// Run runs a command and returns the exit code.
func Run(ctx context.Context, args []string, env Env) (code int) {
	defer func() {
		switch recovered := recover().(type) {
		case nil:
		case exitPanic:
			code = int(recovered)
		default:
			panic(recovered)
		}
	}()

	parser, err := newParser(env)
	if err != nil {
		return env.reportError(err)
	}

	parsed, err := parser.Parse(args)
	if err != nil {
		return env.reportUsage(err)
	}

	parsed.BindTo(ctx, (*context.Context)(nil))

	return env.reportError(parsed.Run(&env, parser))
}

func newParser(env Env) (*kong.Kong, error) {
	return kong.New(&commands{}, kong.Name("unireel"), kong.Description(description), kong.Writers(env.Out, env.Err),
		kong.WithHyphenPrefixedParameters(true), kong.WithBeforeReset(config.IgnoreEmpty),
		kong.Exit(func(code int) { panic(exitPanic(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(helpWithDefault), kong.ExplicitGroups(append([]kong.Group{
			{Key: "Videos", Title: "Videos:"},
			{Key: "Account", Title: "Your account:"},
			{Key: "Operating", Title: "For operators:"},
			{Key: "More", Title: "More:"},
		}, config.Groups()...)))
}

// helpWithDefault adds a value's default to its help. Kong leaves the default out if
// there is a placeholder.
func helpWithDefault(v *kong.Value) string {
	if v.Flag == nil || v.Flag.PlaceHolder == "" || v.Default == "" || strings.Contains(v.Help, "Default:") {
		return kong.DefaultHelpValueFormatter(v)
	}

	copied := *v
	copied.Help += " Default: " + v.Default + "."

	return kong.DefaultHelpValueFormatter(&copied)
}

// usageError reports an invalid command line that kong cannot detect.
type usageError struct{ text string }

// Error returns the message.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitError ends the command with an exit code after everything was already printed.
type exitError int

// Error implements error; the text is never printed.
func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func (env Env) reportUsage(err error) int {
	fmt.Fprintf(env.Err, "error: %s\n", withPeriod(err.Error()))

	command := "unireel"

	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}

	fmt.Fprintf(env.Err, "  See: %s --help\n", command)

	return exitUsage
}

// reportError prints an error and a hint how to fix it, and returns the exit code.
func (env Env) reportError(err error) int {
	var (
		exit   exitError
		usage  *usageError
		apiErr *client.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(env.Err, "error: %s\n", withPeriod(usage.text))
		return exitUsage
	case errors.As(err, &apiErr) && len(apiErr.Errors) > 1:
		for _, detail := range apiErr.Errors {
			single := client.Error{Param: detail.Param, Message: detail.Message}
			fmt.Fprintf(env.Err, "error: %s\n", withPeriod(single.Error()))
		}
	default:
		fmt.Fprintf(env.Err, "error: %s\n", withPeriod(err.Error()))
	}

	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(env.Err, "  %s\n", hint)
	}

	return exitFailure
}

// hintFor returns a hint how to fix an error, or "" if the error's message is enough.
func hintFor(err error) string {
	var unreachable *client.UnreachableError
	if errors.As(err, &unreachable) {
		return "Is the server running there? Start one with: unireel serve. Choose another with --url or UNIREEL_URL."
	}

	var apiErr *client.Error
	if !errors.As(err, &apiErr) {
		return ""
	}

	switch {
	case apiErr.Code == "insufficient_credit":
		return "See: unireel balance. The operator adds credit with: unireel credit grant ACCOUNT AMOUNT"
	case apiErr.Code == "budget_exceeded":
		return "The operator can see it with: unireel key list ACCOUNT, and change it with: unireel key set KEY --budget-day AMOUNT --budget-month AMOUNT"
	case apiErr.Status == 401:
		return "Set the key with --key or UNIREEL_API_KEY. The operator creates keys with: unireel key create ACCOUNT"
	case apiErr.Code == "insufficient_scope" && strings.Contains(apiErr.Message, "scope admin"):
		return "Create one on the server's host with: unireel key create ACCOUNT --scope admin. On that host operators need no key: leave out --url and UNIREEL_URL"
	case apiErr.Code == "unknown_path":
		return "Is the server older than this program, or was it started with --no-admin?"
	case apiErr.Code == "unknown_model":
		return "See: unireel models"
	case apiErr.Status >= 500 && apiErr.RequestID != "":
		return "If this persists, give the operator this request id: " + apiErr.RequestID
	}

	return ""
}

func withPeriod(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}

	return text + "."
}

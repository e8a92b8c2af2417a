// Package cli is the command line: one file per command. Customers' commands
// speak to a server through package client; operators' commands through the same
// client over the data folder's socket, or over the network with a key for it; serve, sim and demo start a house. It
// comes before everything on a task's path, and knows no rule of it: what it
// prints is what the server answered. It never asks a question that a script
// could not answer.
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
	exitOK    = 0
	exitNo    = 1 // a failed task, or the server's no
	exitUsage = 2 // the command line is wrong
)

// World is what a command gets of the world.
type World struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // whether Err is one: bars are drawn, else plain lines
	House    House
}

// Terminal says whether a stream is a terminal.
func Terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// program is every command. A new one is a file and a line here.
type program struct {
	Create createCmd `cmd:"" group:"Videos" help:"Order a video and fetch it."`
	Get    getCmd    `cmd:"" group:"Videos" help:"Show a task."`
	Watch  watchCmd  `cmd:"" group:"Videos" help:"Follow a task to its end."`
	List   listCmd   `cmd:"" group:"Videos" help:"List tasks, newest first."`
	Cancel cancelCmd `cmd:"" group:"Videos" help:"Wish a task away."`
	Delete deleteCmd `cmd:"" group:"Videos" help:"Cancel a task and hide it."`
	Batch  batchCmd  `cmd:"" group:"Videos" help:"Order a file full of videos; it goes on where it was stopped."`

	Models  modelsCmd  `cmd:"" group:"Around" help:"List what can be asked for."`
	Balance balanceCmd `cmd:"" group:"Around" help:"Show the account's credit."`
	Usage   usageCmd   `cmd:"" group:"Around" help:"Sum up what was used, by day, model and key."`
	Upload  uploadCmd  `cmd:"" group:"Around" help:"Upload references."`
	Webhook webhookCmd `cmd:"" group:"Around" help:"Be told of tasks: endpoints, secrets, deliveries."`

	Serve    serveCmd    `cmd:"" group:"Operating" help:"Run the server."`
	Account  accountCmd  `cmd:"" group:"Operating" help:"Make and list accounts."`
	Key      keyCmd      `cmd:"" group:"Operating" help:"Make, list and revoke API keys."`
	Credit   creditCmd   `cmd:"" group:"Operating" help:"Grant and show credit."`
	Upstream upstreamCmd `cmd:"" group:"Operating" help:"Show and test the accounts at suppliers."`
	Audit    auditCmd    `cmd:"" group:"Operating" help:"Show what operators changed."`
	Migrate  migrateCmd  `cmd:"" group:"Operating" help:"Bring the database's tables up to this version."`
	Doctor   doctorCmd   `cmd:"" group:"Operating" help:"Look the installation over."`

	Demo       demoCmd       `cmd:"" group:"More" help:"Make two real videos on this machine, without keys or configuration."`
	Sim        simCmd        `cmd:"" group:"More" help:"Run a simulated supplier."`
	Version    versionCmd    `cmd:"" group:"More" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"More" help:"Print a shell's completion script."`
}

const about = `Makes videos from references, pictures and words.

Try it: "unireel demo". Run it: "unireel serve". Order a video: "unireel create --help".`

// left is thrown where kong would end the process.
type left int

// Run runs one command line and returns the exit code.
func Run(ctx context.Context, args []string, w World) (code int) {
	defer func() {
		switch end := recover().(type) {
		case nil:
		case left:
			code = int(end)
		default:
			panic(end)
		}
	}()

	parser, err := newParser(w)
	if err != nil {
		return w.fail(err)
	}

	parsed, err := parser.Parse(args)
	if err != nil {
		return w.usage(err)
	}

	parsed.BindTo(ctx, (*context.Context)(nil))

	return w.fail(parsed.Run(&w, parser))
}

func newParser(w World) (*kong.Kong, error) {
	return kong.New(&program{}, kong.Name("unireel"), kong.Description(about), kong.Writers(w.Out, w.Err),
		kong.WithHyphenPrefixedParameters(true), kong.WithBeforeReset(config.IgnoreEmpty),
		kong.Exit(func(code int) { panic(left(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(told), kong.ExplicitGroups(append([]kong.Group{
			{Key: "Videos", Title: "Videos:"},
			{Key: "Around", Title: "Around them:"},
			{Key: "Operating", Title: "For the operator:"},
			{Key: "More", Title: "More:"},
		}, config.Groups()...)))
}

// told is a value's help with its default, which kong leaves out where a
// placeholder stands.
func told(v *kong.Value) string {
	if v.Flag == nil || v.Flag.PlaceHolder == "" || v.Default == "" || strings.Contains(v.Help, "Default:") {
		return kong.DefaultHelpValueFormatter(v)
	}

	with := *v
	with.Help += " Default: " + v.Default + "."

	return kong.DefaultHelpValueFormatter(&with)
}

// mistake is a wrong command line that kong cannot see.
type mistake struct{ text string }

// Error is the sentence.
func (m *mistake) Error() string { return m.text }

func usagef(format string, args ...any) error { return &mistake{fmt.Sprintf(format, args...)} }

// said ends with a code when everything was said already.
type said int

// Error is for logs only.
func (s said) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

func (w World) usage(err error) int {
	fmt.Fprintf(w.Err, "error: %s\n", sentence(err.Error()))

	command := "unireel"

	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}

	fmt.Fprintf(w.Err, "  See: %s --help\n", command)

	return exitUsage
}

// fail prints an error with what can be done about it, and gives the exit code.
func (w World) fail(err error) int {
	var (
		code  said
		wrong *mistake
		no    *client.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &wrong):
		fmt.Fprintf(w.Err, "error: %s\n", sentence(wrong.text))
		return exitUsage
	case errors.As(err, &no) && len(no.Errors) > 1:
		for _, flaw := range no.Errors {
			one := client.Error{Param: flaw.Param, Message: flaw.Message}
			fmt.Fprintf(w.Err, "error: %s\n", sentence(one.Error()))
		}
	default:
		fmt.Fprintf(w.Err, "error: %s\n", sentence(err.Error()))
	}

	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w.Err, "  %s\n", hint)
	}

	return exitNo
}

// hintFor says what to do next, "" when the sentence says it all.
func hintFor(err error) string {
	var away *client.Unreachable
	if errors.As(err, &away) {
		return "Is the server running there? Start one with: unireel serve. Name another with --url or UNIREEL_URL."
	}

	var no *client.Error
	if !errors.As(err, &no) {
		return ""
	}

	switch {
	case no.Code == "insufficient_credit":
		return "See: unireel balance. The operator adds credit with: unireel credit grant ACCOUNT AMOUNT"
	case no.Code == "budget_exceeded":
		return "The operator sees it with: unireel key list ACCOUNT, and changes it with: unireel key set KEY --budget-day AMOUNT --budget-month AMOUNT"
	case no.Status == 401:
		return "Give the key with --key or UNIREEL_API_KEY. The operator makes one with: unireel key create ACCOUNT"
	case no.Code == "insufficient_scope" && strings.Contains(no.Message, "scope admin"):
		return "Make one on the server's host with: unireel key create ACCOUNT --scope admin. There an operator needs none: leave out --url and UNIREEL_URL"
	case no.Code == "unknown_path":
		return "Is the server older than this program, or was it started with --no-admin?"
	case no.Code == "unknown_model":
		return "See: unireel models"
	case no.Status >= 500 && no.RequestID != "":
		return "If it goes on, tell the operator this request id: " + no.RequestID
	}

	return ""
}

func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}

	return text + "."
}

package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help returns examples.
func (completionCmd) Help() string {
	return "Examples:\n\n  unireel completion bash | sudo tee /etc/bash_completion.d/unireel\n\n  source <(unireel completion zsh)\n\n  unireel completion fish > ~/.config/fish/completions/unireel.fish"
}

// Run prints the completion script.
func (c *completionCmd) Run(env *Env, parser *kong.Kong) error {
	points := collectPoints(parser.Model.Node, "")
	script := bashScript(points)

	switch c.Shell {
	case "zsh":
		script = "#compdef unireel\nautoload -U +X bashcompinit && bashcompinit\n" + script
	case "fish":
		script = fishScript(points)
	}

	_, err := fmt.Fprint(env.Out, script)

	return err
}

// completionPoint is a command, and the words that may follow it.
type completionPoint struct {
	path  string // such as "key create"; "" is the top level
	words []candidate
}

type candidate struct{ text, help string }

// collectPoints returns the completion points of a command and of its subcommands.
func collectPoints(node *kong.Node, path string) []completionPoint {
	point := completionPoint{path: path}

	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			point.words = append(point.words, candidate{child.Name, child.Help})
		}
	}

	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			point.words = append(point.words, candidate{"--" + flag.Name, flag.Help})
			if flag.Tag.Negatable != "" {
				point.words = append(point.words, candidate{"--no-" + flag.Name, flag.Help})
			}
		}
	}

	for _, arg := range node.Positional {
		for _, choice := range arg.EnumSlice() {
			if choice != "" {
				point.words = append(point.words, candidate{choice, arg.Help})
			}
		}
	}

	points := []completionPoint{point}

	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			points = append(points, collectPoints(child, strings.TrimSpace(path+" "+child.Name))...)
		}
	}

	return points
}

// bashScript returns a bash script that determines the command from the words before the
// cursor and offers the words that may follow it. Anything else is completed as a file.
func bashScript(points []completionPoint) string {
	var out strings.Builder
	out.WriteString(`_unireel() {
    local word="${COMP_WORDS[COMP_CWORD]}" path="" offer="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${path:+$path }${COMP_WORDS[i]}" in
`)

	var paths []string
	for _, p := range points[1:] {
		paths = append(paths, `"`+p.path+`"`)
	}

	fmt.Fprintf(&out, "            %s) path=\"${path:+$path }${COMP_WORDS[i]}\" ;;\n", strings.Join(paths, "|"))
	out.WriteString("        esac\n    done\n    case \"$path\" in\n")

	for _, p := range points {
		var candidates []string
		for _, w := range p.words {
			candidates = append(candidates, w.text)
		}

		fmt.Fprintf(&out, "        \"%s\") offer=\"%s\" ;;\n", p.path, strings.Join(candidates, " "))
	}

	out.WriteString(`    esac
    COMPREPLY=($(compgen -W "$offer" -- "$word"))
}
complete -o default -F _unireel unireel
`)

	return out.String()
}

// fishScript returns a fish script that offers each word after the command to which it
// belongs.
func fishScript(points []completionPoint) string {
	var out strings.Builder
	out.WriteString("# Completion of unireel for fish.\n")

	for _, p := range points {
		condition := "__fish_use_subcommand"

		if p.path != "" {
			var seen []string
			for part := range strings.FieldsSeq(p.path) {
				seen = append(seen, "__fish_seen_subcommand_from "+part)
			}

			condition = strings.Join(seen, "; and ")
		}

		for _, w := range p.words {
			option := "-a " + w.text
			if flag, ok := strings.CutPrefix(w.text, "--"); ok {
				option = "-l " + flag
			}

			fmt.Fprintf(&out, "complete -c unireel -n '%s' %s -d '%s'\n", condition, option, quoteFish(w.help))
		}
	}

	return out.String()
}

func quoteFish(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	letters := []rune(first)

	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(string(slices.Clip(letters[:min(len(letters), 80)])))
}

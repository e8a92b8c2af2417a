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

// Help teaches by examples.
func (completionCmd) Help() string {
	return "Examples:\n\n  unireel completion bash | sudo tee /etc/bash_completion.d/unireel\n\n  source <(unireel completion zsh)\n\n  unireel completion fish > ~/.config/fish/completions/unireel.fish"
}

// Run prints the script.
func (c *completionCmd) Run(w *World, parser *kong.Kong) error {
	places := walk(parser.Model.Node, "")
	script := bashScript(places)

	switch c.Shell {
	case "zsh":
		script = "#compdef unireel\nautoload -U +X bashcompinit && bashcompinit\n" + script
	case "fish":
		script = fishScript(places)
	}

	_, err := fmt.Fprint(w.Out, script)

	return err
}

// place is a point of the command line and what may stand there.
type place struct {
	path  string // "key create"; "" is the top
	words []word
}

type word struct{ text, help string }

// walk lists every place of the model.
func walk(node *kong.Node, path string) []place {
	here := place{path: path}

	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			here.words = append(here.words, word{child.Name, child.Help})
		}
	}

	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			here.words = append(here.words, word{"--" + flag.Name, flag.Help})
			if flag.Tag.Negatable != "" {
				here.words = append(here.words, word{"--no-" + flag.Name, flag.Help})
			}
		}
	}

	for _, arg := range node.Positional {
		for _, choice := range arg.EnumSlice() {
			if choice != "" {
				here.words = append(here.words, word{choice, arg.Help})
			}
		}
	}

	places := []place{here}

	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			places = append(places, walk(child, strings.TrimSpace(path+" "+child.Name))...)
		}
	}

	return places
}

// bashScript finds the place by the words before the cursor that are commands,
// and offers its words; anything else is a file.
func bashScript(places []place) string {
	var out strings.Builder
	out.WriteString(`_unireel() {
    local word="${COMP_WORDS[COMP_CWORD]}" path="" offer="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${path:+$path }${COMP_WORDS[i]}" in
`)

	var paths []string
	for _, p := range places[1:] {
		paths = append(paths, `"`+p.path+`"`)
	}

	fmt.Fprintf(&out, "            %s) path=\"${path:+$path }${COMP_WORDS[i]}\" ;;\n", strings.Join(paths, "|"))
	out.WriteString("        esac\n    done\n    case \"$path\" in\n")

	for _, p := range places {
		var offers []string
		for _, w := range p.words {
			offers = append(offers, w.text)
		}

		fmt.Fprintf(&out, "        \"%s\") offer=\"%s\" ;;\n", p.path, strings.Join(offers, " "))
	}

	out.WriteString(`    esac
    COMPREPLY=($(compgen -W "$offer" -- "$word"))
}
complete -o default -F _unireel unireel
`)

	return out.String()
}

// fishScript offers each word where the commands before it have been seen.
func fishScript(places []place) string {
	var out strings.Builder
	out.WriteString("# Completion of unireel for fish.\n")

	for _, p := range places {
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

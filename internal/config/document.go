package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

const documentHead = `# Configuration

Generated from internal/config by its test; do not edit.

Every option can be a flag of ` + "`unireel serve`" + `, an environment variable or a key of ` + "`unireel.yaml`" + `. Flags override the
environment, the environment overrides the file, and the file overrides the default. An environment variable with an empty value counts as not set.

The file is the one given by ` + "`--config`" + ` (` + "`UNIREEL_CONFIG`" + `); else the first that exists of ` + "`./unireel.yaml`" + `, ` + "`unireel.yaml`" + ` in the data folder
and ` + "`/etc/unireel/unireel.yaml`" + `. An unknown key is an error, which gives its line and the most similar key. Secrets are shown as ` + "`***`" + ` wherever
they are printed or logged.
`

const documentTail = `
## Several accounts at suppliers

The list ` + "`upstreams`" + ` can only be set in the file. The ` + "`dashscope`" + ` section above is a short form of one entry named ` + "`dashscope`" + `.

| key | meaning |
|---|---|
| ` + "`name`" + ` | its name, chosen by you: a-z, 0-9, - and _; unique |
| ` + "`provider`" + ` | the kind of supplier: ` + "`dashscope`, `wavespeed`, `fal`, `openai` (any server with /v1/videos), `uniall`" + ` |
| ` + "`base_url`" + ` | its address, without ` + "`/api/v1`" + `; default: the region's address |
| ` + "`api_key`, `api_key_env`, `api_key_file`" + ` | its key, or the environment variable or the file that holds the key: one of the three |
| ` + "`region`, `workspace`" + ` | as in the dashscope section |
| ` + "`settings`" + ` | additional settings that only the provider understands |
| ` + "`models`" + ` | the supplier's models that may be used; default: all |
| ` + "`order`" + ` | 1 (the default) is tried first; an upstream with a higher order gets what those with a lower order cannot accept at the moment |
| ` + "`weight`" + ` | its share among upstreams of the same order; default 1 |
| ` + "`routes`" + ` | which of Unireel's models it serves, a list; default: all that the model files list for its provider. Each entry: ` + "`models`" + ` (ids and family names; default all), ` + "`supplier_model`" + ` (the supplier's name of the model), ` + "`order`, `weight`" + `, and its restrictions: ` + "`sizes`, `seconds`" + ` (only these), ` + "`prompt_max`, `images`, `videos`, `references`" + ` (at most), ` + "`unsupported`" + ` (any of ` + "`guide_audio`, `negative_prompt`, `seed`, `watermark`, `prompt_expansion`, `multi`, `single`" + `). A request only goes to a route that supports all of it |
| ` + "`limits`" + ` | ` + "`submits_per_second`, `in_progress`" + ` (of one model) and ` + "`queries_per_second`" + ` (of the account); default: the options above |

` + "```yaml" + `
addr: 0.0.0.0:8080
public_url: https://video.example.com
retention: 240h
fetch_allow: [192.168.7.0/24]
blob: s3://videos/unireel
s3:
  endpoint: https://minio.example.com:9000
dashscope:
  region: ap-southeast-1
upstreams:
  - name: singapore
    provider: dashscope
    region: ap-southeast-1
    api_key_env: SINGAPORE_KEY
    limits: {submits_per_second: 5, in_progress: 5, queries_per_second: 20}
  - name: beijing
    provider: dashscope
    region: cn-beijing
    api_key_file: /run/secrets/beijing
    models: [wan2.6-r2v-flash]
    order: 2
  - name: gpu
    provider: openai
    base_url: http://10.0.0.8:8000
    routes:
      - models: [wan2.6-video-720p]
        supplier_model: Wan-AI/Wan2.2-T2V-A14B-Diffusers
        weight: 3
        seconds: [5]
        unsupported: [guide_audio, prompt_expansion, watermark, multi]
` + "```" + `
`

// Document returns the text of docs/config.md: every option, by group, with its key in
// the file, its flag, its environment variable and its default.
func Document() (string, error) {
	list, err := allOptions()
	if err != nil {
		return "", err
	}

	var out strings.Builder
	out.WriteString(documentHead)

	group := ""
	for _, option := range list {
		if title := strings.TrimSuffix(option.Group.Title, ":"); title != group {
			group = title
			fmt.Fprintf(&out, "\n## %s\n\n| key in the file | flag | environment | default | meaning |\n|---|---|---|---|---|\n", group)
		}

		fmt.Fprintf(&out, "| %s | `--%s` | %s | %s | %s |\n", fileKey(option), option.Name, code(option.Tag.Envs...), code(option.Default), escape(option.Help))
	}

	out.WriteString(documentTail)

	return out.String(), nil
}

func fileKey(option *kong.Flag) string {
	if option.Name == "config" {
		return ""
	}

	for _, section := range []string{"dashscope", "s3"} {
		if rest, ok := strings.CutPrefix(option.Name, section+"-"); ok {
			return code(section + ": " + strings.ReplaceAll(rest, "-", "_"))
		}
	}

	return code(strings.ReplaceAll(option.Name, "-", "_"))
}

func code(words ...string) string {
	var list []string

	for _, word := range words {
		if word != "" {
			list = append(list, "`"+word+"`")
		}
	}

	return strings.Join(list, ", ")
}

func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}

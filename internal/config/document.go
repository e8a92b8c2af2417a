package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

const documentHead = `# Configuration

Generated from internal/config by its test; do not edit.

Every knob can be a flag of ` + "`unireel serve`" + `, a variable of the environment or a key of ` + "`unireel.yaml`" + `. Flags stand above the
environment, the environment above the file, the file above the default. A variable that is set to nothing counts as not set.

The file is the one named by ` + "`--config`" + ` (` + "`UNIREEL_CONFIG`" + `); else the first that exists of ` + "`./unireel.yaml`" + `, ` + "`unireel.yaml`" + ` in the data folder
and ` + "`/etc/unireel/unireel.yaml`" + `. An unknown key is refused, with its line and the nearest key. Secrets are shown as ` + "`***`" + ` wherever
they are printed or logged.
`

const documentTail = `
## Several accounts at suppliers

The list ` + "`upstreams`" + ` stands in the file only. The ` + "`dashscope`" + ` section above is a short way to one entry named ` + "`dashscope`" + `.

| key | meaning |
|---|---|
| ` + "`name`" + ` | what you call it: a-z, 0-9, - and _; unique |
| ` + "`provider`" + ` | the kind of supplier: ` + "`dashscope`, `wavespeed`, `fal`, `openai` (any server with /v1/videos), `uniall`" + ` |
| ` + "`base_url`" + ` | where it is, without ` + "`/api/v1`" + `; default: the region's address |
| ` + "`api_key`, `api_key_env`, `api_key_file`" + ` | its key, or the variable or the file that holds it: one of the three |
| ` + "`region`, `workspace`" + ` | as in the dashscope section |
| ` + "`settings`" + ` | further words that only the provider understands |
| ` + "`models`" + ` | the supplier's models that it may serve; default: all |
| ` + "`order`" + ` | 1 (the default) comes first; a later one serves what the earlier ones cannot take at the moment |
| ` + "`weight`" + ` | its share among those of the same order; default 1 |
| ` + "`routes`" + ` | what it serves of our models, a list; default: all that their files say of its provider. Each entry: ` + "`models`" + ` (ids and family names; default all), ` + "`as`" + ` (the supplier's name of the model), ` + "`order`, `weight`" + `, and what it cannot do: ` + "`sizes`, `seconds`" + ` (only these), ` + "`prompt_max`, `images`, `videos`, `references`" + ` (at most), ` + "`lacks`" + ` (of ` + "`guide_audio`, `negative_prompt`, `seed`, `watermark`, `prompt_expansion`, `multi`, `single`" + `). A request is only given to who can do all of it |
| ` + "`limits`" + ` | ` + "`submits_per_second`, `in_progress`" + ` (of one model) and ` + "`queries_per_second`" + ` (of the account); default: the knobs above |

` + "```yaml" + `
addr: 0.0.0.0:8080
public_url: https://video.example.com
retention: 240h
fetch_allow: [192.168.7.0/24]
blob: s3://films/unireel
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
        as: Wan-AI/Wan2.2-T2V-A14B-Diffusers
        weight: 3
        seconds: [5]
        lacks: [guide_audio, prompt_expansion, watermark, multi]
` + "```" + `
`

// Document writes docs/config.md: every knob, by group, with its key in the
// file, its flag, its variable and its default.
func Document() (string, error) {
	list, err := knobs()
	if err != nil {
		return "", err
	}

	var out strings.Builder
	out.WriteString(documentHead)

	group := ""
	for _, knob := range list {
		if title := strings.TrimSuffix(knob.Group.Title, ":"); title != group {
			group = title
			fmt.Fprintf(&out, "\n## %s\n\n| key in the file | flag | environment | default | meaning |\n|---|---|---|---|---|\n", group)
		}

		fmt.Fprintf(&out, "| %s | `--%s` | %s | %s | %s |\n", fileKey(knob), knob.Name, code(knob.Tag.Envs...), code(knob.Default), escape(knob.Help))
	}

	out.WriteString(documentTail)

	return out.String(), nil
}

func fileKey(knob *kong.Flag) string {
	if knob.Name == "config" {
		return ""
	}

	for _, section := range []string{"dashscope", "s3"} {
		if rest, ok := strings.CutPrefix(knob.Name, section+"-"); ok {
			return code(section + ": " + strings.ReplaceAll(rest, "-", "_"))
		}
	}

	return code(strings.ReplaceAll(knob.Name, "-", "_"))
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

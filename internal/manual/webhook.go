package manual

import (
	"fmt"
	"strings"
)

const webhookPage = "webhooks.md"

// webhooks writes the page of what the server sends by itself. Headers, fields and
// the meaning of answers are the same for all: they are said of the first.
func (w writer) webhooks() string {
	var out strings.Builder

	all := events(w.spec)
	fmt.Fprintf(&out, "# %s\n\n", w.in(wordWebhooks))

	for _, tag := range w.spec.get("tags").items() {
		if tag.get("name").text() == all[0].spec.get("tags").items()[0].text() {
			fmt.Fprintf(&out, "%s\n\n", w.say(tag.get("description").text()))
		}
	}

	fmt.Fprintf(&out, "## %s\n\n", w.in(wordEvents))
	t := table{w.in(wordEvent), w.in(wordHappened), w.in(wordDescription)}
	t.head(&out)

	for _, o := range all {
		t.row(&out, "`"+o.path+"`", w.say(o.spec.get("summary").text()), w.say(o.spec.get("description").text()))
	}

	out.WriteString("\n")
	w.parameters(&out, all[0])
	w.body(&out, all[0])
	fmt.Fprintf(&out, "## %s\n\n", w.in(wordRequests))

	for _, o := range all {
		for _, content := range o.spec.get("requestBody", "content").fields() {
			for _, e := range examples(content) {
				fmt.Fprintf(&out, "### `%s`\n\n```json\n%s\n```\n\n", o.path, e.value.json())
			}
		}
	}

	fmt.Fprintf(&out, "## %s\n\n", w.in(wordYourAnswer))
	t = table{"HTTP", w.in(wordDescription)}
	t.head(&out)

	for status, answer := range all[0].spec.get("responses").fields() {
		if status == "default" {
			status = w.in(wordElse)
		}

		t.row(&out, status, w.say(answer.get("description").text()))
	}

	return out.String()
}

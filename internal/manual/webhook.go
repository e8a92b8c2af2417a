package manual

import (
	"fmt"
	"strings"
)

const webhookPageName = "webhooks.md"

// webhooksPage generates the page about the events that the server sends. Headers, fields and
// the meaning of responses are the same for all events, so they are taken from the first.
func (w writer) webhooksPage() string {
	var out strings.Builder

	all := events(w.spec)
	fmt.Fprintf(&out, "# %s\n\n", w.localize(labelWebhooks))

	for _, tag := range w.spec.get("tags").items() {
		if tag.get("name").text() == all[0].spec.get("tags").items()[0].text() {
			fmt.Fprintf(&out, "%s\n\n", w.translate(tag.get("description").text()))
		}
	}

	fmt.Fprintf(&out, "## %s\n\n", w.localize(labelEvents))
	t := table{w.localize(labelEvent), w.localize(labelEventMeaning), w.localize(labelDescription)}
	t.writeHeader(&out)

	for _, o := range all {
		t.writeRow(&out, "`"+o.path+"`", w.translate(o.spec.get("summary").text()), w.translate(o.spec.get("description").text()))
	}

	out.WriteString("\n")
	w.writeParameters(&out, all[0])
	w.writeBody(&out, all[0])
	fmt.Fprintf(&out, "## %s\n\n", w.localize(labelRequests))

	for _, o := range all {
		for _, content := range o.spec.get("requestBody", "content").fields() {
			for _, e := range examples(content) {
				fmt.Fprintf(&out, "### `%s`\n\n```json\n%s\n```\n\n", o.path, e.value.json())
			}
		}
	}

	fmt.Fprintf(&out, "## %s\n\n", w.localize(labelYourResponse))
	t = table{"HTTP", w.localize(labelDescription)}
	t.writeHeader(&out)

	for status, response := range all[0].spec.get("responses").fields() {
		if status == "default" {
			status = w.localize(labelOtherStatus)
		}

		t.writeRow(&out, status, w.translate(response.get("description").text()))
	}

	return out.String()
}

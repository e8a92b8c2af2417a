package dashscopesim

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// reply is an answer before it is written, so that a fault can spoil the way it
// goes out.
type reply struct {
	status int
	kind   string // its Content-Type
	body   []byte
	header map[string]string
	id     string // a request_id that the body holds, when it is not the exchange's
	open   func(http.ResponseWriter, *http.Request)
}

func answer(status int, v any) reply {
	b, err := json.Marshal(v)
	if err != nil {
		return reply{status: http.StatusInternalServerError, body: []byte(err.Error())}
	}

	return reply{status: status, kind: "application/json;charset=UTF-8", body: b}
}

// refusal is the supplier's flat error body; write fills in the request_id.
func refusal(status int, code, message string) reply {
	return answer(status, map[string]string{"code": code, "message": message, "request_id": idPlace})
}

// idPlace stands in bodies where the request_id goes.
const idPlace = "\u2063request_id\u2063"

func (a reply) write(w http.ResponseWriter, r *http.Request) {
	if a.open != nil {
		a.open(w, r)
		return
	}

	b := a.ready(w)
	w.WriteHeader(a.status)
	w.Write(b)
}

// ready sets the headers and gives the bytes.
func (a reply) ready(w http.ResponseWriter) []byte {
	h := w.Header()

	b := bytes.ReplaceAll(a.body, []byte(idPlace), []byte(h.Get("X-Request-Id")))
	for name, value := range a.header {
		h.Set(name, value)
	}

	if h.Get("Content-Encoding") == "gzip" {
		b = zip(b)
	}

	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}

	h.Set("Content-Length", strconv.Itoa(len(b)))

	return b
}

func (a reply) zipped() reply {
	header := map[string]string{"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
	for name, value := range a.header {
		header[name] = value
	}

	a.header = header

	return a
}

func zip(b []byte) []byte {
	var out bytes.Buffer

	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // a buffer takes everything
	_ = w.Close()

	return out.Bytes()
}

// ossRefusal is how the object store says no.
func ossRefusal(status int, code, message string) reply {
	return reply{status: status, kind: "application/xml", body: fmt.Appendf(nil,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>%s</Code>\n  <Message>%s</Message>\n  <RequestId>%s</RequestId>\n</Error>\n", code, message, idPlace)}
}

// beijing is the zone of every written time of the supplier.
var beijing = time.FixedZone("UTC+8", 8*60*60)

func stamp(t time.Time) string {
	return t.In(beijing).Format("2006-01-02 15:04:05.000")
}

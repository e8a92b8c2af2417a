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

// response is a response before it is written, so that a fault can change how it
// is sent.
type response struct {
	status      int
	contentType string // its Content-Type
	body        []byte
	header      map[string]string
	requestID   string // a request_id that the body already contains, when it is not this request's
	serve       func(http.ResponseWriter, *http.Request)
}

func jsonResponse(status int, v any) response {
	b, err := json.Marshal(v)
	if err != nil {
		return response{status: http.StatusInternalServerError, body: []byte(err.Error())}
	}

	return response{status: status, contentType: "application/json;charset=UTF-8", body: b}
}

// errorResponse is the supplier's flat error body; write fills in the request_id.
func errorResponse(status int, code, message string) response {
	return jsonResponse(status, map[string]string{
		"code":       code,
		"message":    message,
		"request_id": requestIDPlaceholder,
	})
}

// requestIDPlaceholder marks the place of the request_id in bodies.
const requestIDPlaceholder = "\u2063request_id\u2063"

func (resp response) write(w http.ResponseWriter, r *http.Request) {
	if resp.serve != nil {
		resp.serve(w, r)
		return
	}

	b := resp.prepare(w)
	w.WriteHeader(resp.status)
	w.Write(b)
}

// prepare sets the headers and returns the bytes.
func (resp response) prepare(w http.ResponseWriter) []byte {
	h := w.Header()

	b := bytes.ReplaceAll(resp.body, []byte(requestIDPlaceholder), []byte(h.Get("X-Request-Id")))
	for name, value := range resp.header {
		h.Set(name, value)
	}

	if h.Get("Content-Encoding") == "gzip" {
		b = gzipBytes(b)
	}

	if resp.contentType != "" {
		h.Set("Content-Type", resp.contentType)
	}

	h.Set("Content-Length", strconv.Itoa(len(b)))

	return b
}

func (resp response) gzipped() response {
	header := map[string]string{"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
	for name, value := range resp.header {
		header[name] = value
	}

	resp.header = header

	return resp
}

func gzipBytes(b []byte) []byte {
	var out bytes.Buffer

	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // writes to a bytes.Buffer never fail
	_ = w.Close()

	return out.Bytes()
}

// ossErrorResponse is an error of the object store.
func ossErrorResponse(status int, code, message string) response {
	return response{status: status, contentType: "application/xml", body: fmt.Appendf(nil,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>%s</Code>\n  <Message>%s</Message>\n  <RequestId>%s</RequestId>\n</Error>\n", code, message, requestIDPlaceholder)}
}

// beijing is the time zone of every time that the supplier writes.
var beijing = time.FixedZone("UTC+8", 8*60*60)

func formatTime(t time.Time) string {
	return t.In(beijing).Format("2006-01-02 15:04:05.000")
}

package uniall

import (
	"net/http"
	"testing"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func FuzzVideo(f *testing.F) {
	for _, name := range []string{"create.json", "in_progress.json", "cancelled.json", "completed-unireel.json", "completed-uniall.json", "completed-outputs.json"} {
		f.Add(providertest.ReadTestdata(f, name))
	}

	f.Add([]byte(`{"id":1e99,"status":[],"result":"x","usage":[],"warnings":{},"error":{"code":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readVideo(b)
		if err != nil {
			return
		}

		r := resultOf(v)
		if u := r.Usage; u != nil && (u.Billed <= 0 || u.Input < 0 || u.Output <= 0 || u.Billed > 86400_000) || r.DurationMillis < 0 {
			t.Fatalf("%q became %+v", b, r)
		}

		_ = v.hasWarning("cancel_refused")
		if j := classify(0, v.errorBody()); j.Fault == "" {
			t.Fatalf("%q has no classification", b)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","param":"videos[0]","code":"reference_invalid"}}`))
	f.Add([]byte(`{"code":"task_not_exist","message":"m","data":null}`))
	f.Add([]byte(`{"error":"text"}`))

	client := &provider.Client{Secret: secret, ParseError: readError, Classify: classify}

	f.Fuzz(func(t *testing.T, b []byte) {
		failure := client.StatusFailure(provider.Response{Status: http.StatusBadRequest, Body: b})
		if failure.Fault == nil || len([]rune(failure.Err.Error())) > 600 {
			t.Fatalf("%q became %v", b, failure)
		}

		if c, own := readError(b); own && c.Code == "" && c.Message == "" {
			t.Fatalf("%q is empty and counts as the gateway's own error", b)
		}

		_ = customerParam(submissions["mixed"], failure.Fault.Param)
	})
}

func FuzzUploadResponse(f *testing.F) {
	f.Add([]byte(`{"id":"file_01","object":"file","bytes":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := readUpload(b); (err == nil) != (id != "") {
			t.Fatalf("%q gave %q, %v", b, id, err)
		}
	})
}

func FuzzRenumberCharacters(f *testing.F) {
	f.Add("Character1 meets character2, character99999999999999999999")

	order := characterOrder(submissions["mixed"].References)

	f.Fuzz(func(t *testing.T, prompt string) {
		back := make([]int, len(order))
		for at, from := range order {
			back[from] = at
		}

		once := renumberCharacters(prompt, order)
		if again := renumberCharacters(renumberCharacters(once, back), order); again != once {
			t.Fatalf("%q became %q, and after the reverse %q", prompt, once, again)
		}
	})
}

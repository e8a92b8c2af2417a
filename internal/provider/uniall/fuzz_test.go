package uniall

import (
	"net/http"
	"testing"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func FuzzVideo(f *testing.F) {
	for _, name := range []string{"create.json", "in_progress.json", "cancelled.json", "completed-unireel.json", "completed-uniall.json", "completed-outputs.json"} {
		f.Add(providertest.Recorded(f, name))
	}

	f.Add([]byte(`{"id":1e99,"status":[],"result":"x","usage":[],"warnings":{},"error":{"code":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readVideo(b)
		if err != nil {
			return
		}

		r := resultOf(v)
		if u := r.Usage; u != nil && (u.Billed <= 0 || u.Input < 0 || u.Output <= 0 || u.Billed > 86400_000) || r.Took < 0 {
			t.Fatalf("%q became %+v", b, r)
		}

		_ = v.warns("cancel_refused")
		if j := judge(0, v.complaint()); j.Fault == "" {
			t.Fatalf("%q has no verdict", b)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","param":"videos[0]","code":"reference_invalid"}}`))
	f.Add([]byte(`{"code":"task_not_exist","message":"m","data":null}`))
	f.Add([]byte(`{"error":"text"}`))

	talk := &provider.Talk{Secret: secret, Complain: readComplaint, Judge: judge}

	f.Fuzz(func(t *testing.T, b []byte) {
		failure := talk.Refusal(provider.Answer{Status: http.StatusBadRequest, Body: b})
		if failure.Fault == nil || len([]rune(failure.Err.Error())) > 600 {
			t.Fatalf("%q became %v", b, failure)
		}

		if c, own := readComplaint(b); own && c.Code == "" && c.Message == "" {
			t.Fatalf("%q says nothing and counts as the gateway's own", b)
		}

		_ = paramOf(orders["mixed"], failure.Fault.Param)
	})
}

func FuzzUploadAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"file_01","object":"file","bytes":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := readUpload(b); (err == nil) != (id != "") {
			t.Fatalf("%q gave %q, %v", b, id, err)
		}
	})
}

func FuzzRenumber(f *testing.F) {
	f.Add("Character1 meets character2, character99999999999999999999")

	order := charactersOf(orders["mixed"].References)

	f.Fuzz(func(t *testing.T, prompt string) {
		back := make([]int, len(order))
		for at, from := range order {
			back[from] = at
		}

		once := renumber(prompt, order)
		if again := renumber(renumber(once, back), order); again != once {
			t.Fatalf("%q became %q, and there and back %q", prompt, once, again)
		}
	})
}

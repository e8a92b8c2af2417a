package fal

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func boolPtr(v bool) *bool { return &v }

const recordedID = "764cabcf-b745-4b3e-ae38-1200304cf45b"

// The submissions for the examples on the models' pages; the golden files are the
// requests for them. The first example's guide audio is left out, since the
// supplier does not support it.
var submissions = map[string]provider.Submission{
	"example-1-without-audio": {
		Model:           "wan/v2.6/reference-to-video/flash",
		Mode:            provider.R2V,
		Prompt:          "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
		NegativePrompt:  "watermark, blur, flicker",
		References:      []provider.Reference{{Kind: "video", URL: "https://example.com/reference-shot-1.mp4"}},
		Size:            "1280*720",
		Seconds:         5,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(false),
		Seed:            -1,
	},
	"example-2": {
		Model:           "wan/v2.6/reference-to-video/flash",
		Mode:            provider.R2V,
		Prompt:          "保持相同产品身份与风格,生成一段干净的营销视频。",
		NegativePrompt:  "watermark, blur",
		References:      []provider.Reference{{Kind: "image", URL: "https://example.com/ref-1.png"}, {Kind: "image", URL: "https://example.com/ref-2.png"}},
		Size:            "1920*1080",
		Seconds:         10,
		ShotType:        "multi",
		PromptExpansion: boolPtr(true),
		Seed:            42,
	},
	"mixed": {
		Model:      "wan/v2.6/reference-to-video/flash",
		Mode:       provider.R2V,
		Prompt:     "character1 & character2 <walk>",
		References: []provider.Reference{{Kind: "image", URL: "https://x.org/1.png"}, {Kind: "video", URL: "https://x.org/2.mp4"}},
		Size:       "832*1088",
		Seconds:    5,
		Sound:      true,
		ShotType:   "single",
		Seed:       0,
	},
	"plain": {
		Model:      "wan/v2.6/reference-to-video",
		Mode:       provider.R2V,
		Prompt:     "character1 & character2 <walk>",
		References: []provider.Reference{{Kind: "video", URL: "https://x.org/1.mp4"}, {Kind: "video", URL: "https://x.org/2.mp4"}},
		Size:       "1440*1440",
		Seconds:    10,
		Sound:      true,
		ShotType:   "multi",
		Seed:       2147483647,
	},
}

func TestCreateRequestBodies(t *testing.T) {
	for name, o := range submissions {
		t.Run(name, func(t *testing.T) {
			var (
				got     []byte
				request *http.Request
			)

			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var body json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}

				got = body
				request = r
				w.Write(createResponseAt(t, "http://"+r.Host))
			})
			remoteID, err := connect(t, address, time.Now, nil).Submit(t.Context(), o)

			at := "/wan/v2.6/requests/" + recordedID
			if want := strings.Join([]string{recordedID, at + "/status", at, at + "/cancel"}, " "); err != nil || string(remoteID) != want {
				t.Fatalf("Submit = %q, %v; want %q", remoteID, err, want)
			}

			providertest.CompareGolden(t, *update, "request-"+name+".json", got)

			if request.URL.Path != "/"+o.Model || request.Header.Get("Authorization") != "Key "+secret || request.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s with %v", request.URL, request.Header)
			}
		})
	}
}

// Characters get the supplier's names: videos first on flash, @VideoN on the other
// model.
func TestCharacters(t *testing.T) {
	kinds := func(list string) []provider.Reference {
		var refs []provider.Reference
		for _, k := range list {
			refs = append(refs, provider.Reference{Kind: map[rune]string{'v': "video", 'i': "image"}[k], URL: "https://x.org/" + string(k)})
		}

		return refs
	}
	for _, c := range []struct {
		flash              bool
		refs, prompt, want string
	}{
		{true, "vi", "character1 meets character2", "Character1 meets Character2"},
		{true, "iv", "character1 meets character2", "Character2 meets Character1"},
		{true, "ivivi", "Character1 CHARACTER2 character3 character4 character5", "Character3 Character1 Character4 Character2 Character5"},
		{true, "iv", "让character1和character2一起走，character1's dog", "让Character2和Character1一起走，Character2's dog"},
		{true, "i", "character1, character2, character12, character0, mycharacter1, character", "Character1, character2, character12, character0, mycharacter1, character"},
		{true, "i", "character99999999999999999999 sings", "character99999999999999999999 sings"},
		{false, "vvv", "character3 meets Character1.", "@Video3 meets @Video1."},
		{false, "v", "character1 and character2", "@Video1 and character2"},
	} {
		s, failure := sortReferences(provider.Submission{References: kinds(c.refs)}, c.flash)
		if failure != nil {
			t.Fatal(failure)
		}

		if got := s.renameCharacters(c.prompt); got != c.want {
			t.Errorf("%s: %q became %q, want %q", c.refs, c.prompt, got, c.want)
		}
	}
}

// The extension decides the kind of a reference that was not inspected.
func TestReferenceKind(t *testing.T) {
	for address, want := range map[string]string{
		"https://x.org/a.MP4?s=1.png": "video", "https://x.org/a.mov": "video", "https://x.org/a.webp": "image", "https://x.org/a": "", "https://x.org/a.mp3": "", "%": "",
	} {
		if got := referenceKind(provider.Reference{URL: address}); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}

	_, failure := sortReferences(provider.Submission{References: []provider.Reference{{URL: "https://x.org/a", Param: "references[0]"}}}, true)
	if failure == nil || failure.Fault.Param != "references[0]" {
		t.Errorf("of an unknown kind: %+v", failure)
	}
}

// What the supplier's API has no parameter for is rejected before anything is
// sent.
func TestInvalidSubmissionsAreNotSent(t *testing.T) {
	f := connect(t, "http://127.0.0.1:1", time.Now, nil)

	for name, c := range map[string]struct {
		change func(*provider.Submission)
		code   fault.Code
		param  string
	}{
		"watermark": {func(o *provider.Submission) { o.Watermark = boolPtr(true) }, fault.CodeSupplierRejected, "watermark"},
		"guide audio": {func(o *provider.Submission) {
			o.Audio = &provider.Reference{Param: "extra_body.audio", URL: "https://x.org/a.mp3"}
		}, fault.CodeSupplierRejected, "extra_body.audio"},
		"unknown size": {func(o *provider.Submission) { o.Size = "640*360" }, fault.CodeSupplierRejected, "size"},
		"another mode": {func(o *provider.Submission) { o.Mode = provider.I2V }, fault.CodeSupplierRejected, "model"},
		"no sound with the non-flash model": {func(o *provider.Submission) {
			o.Model = "wan/v2.6/reference-to-video"
			o.Sound = false
		}, fault.CodeSupplierRejected, "model"},
		"picture for the non-flash model": {func(o *provider.Submission) { o.Model = "wan/v2.6/reference-to-video" }, fault.CodeSupplierRejected, "images[0]"},
		"reference without a URL":         {func(o *provider.Submission) { o.References[0].URL = "" }, fault.CodeReferenceUnreachable, "images[0]"},
	} {
		o := smallSubmission()
		c.change(&o)

		_, err := f.Submit(t.Context(), o)
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

// The key is sent to the configured origin only.
func TestForeignURLsAreNotFollowed(t *testing.T) {
	for _, origin := range []string{"https://queue.fal.run", "http://127.0.0.1:1", "//evil.example.com", ""} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(createResponseAt(t, origin)) })

		_, err := connect(t, address, time.Now, nil).Submit(t.Context(), smallSubmission())
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.AcceptanceUnknown || f.RequestID != recordedID || !strings.Contains(f.Error(), "base URL") {
			t.Errorf("%q: %v, request %q", origin, f, f.RequestID)
		}
	}

	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.ReplaceAll(createResponseAt(t, "http://"+r.Host), []byte(recordedID), []byte("a b")))
	})
	if _, err := connect(t, address, time.Now, nil).Submit(t.Context(), smallSubmission()); providertest.FailureOf(t, err, secret).Acceptance != provider.AcceptanceUnknown {
		t.Errorf("an id with a space: %v", err)
	}

	f := connect(t, "http://127.0.0.1:1", time.Now, nil)
	for _, remoteID := range []provider.RemoteID{"", "r-1", "r-1 /a /b", "r-1 http://evil.example.com/a /b /c", "r-1 /a /b /c /d", " /a /b /c"} {
		if report, err := f.Poll(t.Context(), remoteID); err != nil || report.Phase != provider.Unknown {
			t.Errorf("%q: %+v, %v", remoteID, report, err)
		}

		if cancelled, err := f.Cancel(t.Context(), remoteID); err != nil || cancelled {
			t.Errorf("%q: cancelled %v, %v", remoteID, cancelled, err)
		}
	}
}

// Requests with the key go to paths below the configured base URL only.
func TestRelativePath(t *testing.T) {
	for _, c := range []struct{ origin, address, want string }{
		{"https://q.example.com", "https://q.example.com/a/b?c=d", "/a/b?c=d"},
		{"https://q.example.com", "https://Q.example.com/a%2Fb", "/a%2Fb"},
		{"https://q.example.com/proxy", "https://q.example.com/proxy/a", "/a"},
		{"https://q.example.com/proxy", "https://q.example.com/proxya", ""},
		{"https://q.example.com", "http://q.example.com/a", ""},
		{"https://q.example.com", "https://q.example.com.evil.org/a", ""},
		{"https://q.example.com", "https://q.example.com:444/a", ""},
		{"https://q.example.com", "https://u@q.example.com/a", ""},
		{"https://q.example.com", "//q.example.com/a", ""},
		{"https://q.example.com", "/a", ""},
		{"https://q.example.com", "https://q.example.com", ""},
		{"https://q.example.com", "https://q.exam ple.com/%", ""},
	} {
		if got, ok := connect(t, c.origin, time.Now, nil).relativePath(c.address); got != c.want || ok != (c.want != "") {
			t.Errorf("%s of %s: %q, %v; want %q", c.address, c.origin, got, ok, c.want)
		}
	}
}

const testRemoteID = provider.RemoteID("r-1 /wan/v2.6/requests/r-1/status /wan/v2.6/requests/r-1 /wan/v2.6/requests/r-1/cancel")

// connectToResponses returns a provider for a server with these recorded
// responses: "200 file" or "500 {...}".
func connectToResponses(t *testing.T, status, response string) *fal {
	t.Helper()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		said := response
		if strings.HasSuffix(r.URL.Path, "/status") {
			said = status
		}

		code, body, _ := strings.Cut(said, " ")
		w.WriteHeader(int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0'))

		if strings.HasSuffix(body, ".json") {
			body = string(providertest.ReadTestdata(t, body))
		}

		w.Write([]byte(body))
	})

	return connect(t, address, time.Now, nil)
}

func TestPollResponses(t *testing.T) {
	result := &provider.Result{URL: "https://v3b.fal.media/files/b/0a86742f/out.mp4"}
	for _, c := range []struct {
		status, response string
		want             provider.Report
	}{
		{"202 in-queue.json", "", provider.Report{Phase: provider.Queued, Progress: -1}},
		{"202 in-progress.json", "", provider.Report{Phase: provider.Rendering, Progress: -1}},
		{"200 completed.json", "200 response.json", provider.Report{Phase: provider.Rendered, Progress: -1, Result: result}},
		{"200 cancelled.json", "", provider.Report{Phase: provider.Cancelled, Progress: -1}},
		{`200 {"status":"CANCELLED"}`, "", provider.Report{Phase: provider.Cancelled, Progress: -1}},
		{"200 completed.json", `499 {"detail":"cancelled","error_type":"client_cancelled"}`, provider.Report{Phase: provider.Cancelled, Progress: -1}},
		{`404 {"detail":"Request not found"}`, "", provider.Report{Phase: provider.Unknown, Progress: -1}},
		{"200 completed.json", `404 {"detail":"Request not found"}`, provider.Report{Phase: provider.Unknown, Progress: -1}},
		{"200 completed.json", `400 {"detail":"Request is still in progress"}`, provider.Report{Phase: provider.Rendering, Progress: -1}},
	} {
		got, err := connectToResponses(t, c.status, c.response).Poll(t.Context(), testRemoteID)
		if err != nil {
			t.Errorf("%s, %s: %v", c.status, c.response, err)
		}

		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.status, c.response, diff)
		}
	}
}

func TestMalformedResponses(t *testing.T) {
	for name, c := range map[string][2]string{
		"another request":                 {`200 {"status":"IN_PROGRESS","request_id":"r-2"}`, ""},
		"unknown state":                   {`200 {"status":"DREAMING"}`, ""},
		"no state":                        {`200 {}`, ""},
		"HTML page":                       {`200 <html>`, ""},
		"404 from a proxy":                {`404 <html>`, ""},
		"no video":                        {`200 completed.json`, `200 {"video":null}`},
		"unknown result":                  {`200 completed.json`, `200 []`},
		"bare 500":                        {`200 completed.json`, `500 `},
		"404 without JSON for the result": {`200 completed.json`, `404 not here`},
	} {
		if got, err := connectToResponses(t, c[0], c[1]).Poll(t.Context(), testRemoteID); err == nil || providertest.FailureOf(t, err, secret).Class == provider.InvalidRequest {
			t.Errorf("%s: %+v, %v; want an error", name, got, err)
		}
	}
}

func TestCancels(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		then   string // the request's status afterwards
		want   bool
		fails  bool
	}{
		"removed from the queue": {200, `{"status":"OK"}`, "cancelled.json", true, false},
		"removed and forgotten":  {202, `{"status":"CANCELLATION_REQUESTED"}`, "", true, false},
		"cancelled":              {202, `{"status":"CANCELLATION_REQUESTED"}`, "cancelled.json", true, false},
		"signal ignored":         {202, `{"status":"CANCELLATION_REQUESTED"}`, "in-progress.json", false, false},
		"too late":               {400, `{"status":"ALREADY_COMPLETED"}`, "", false, false},
		"unknown":                {404, `{"status":"NOT_FOUND"}`, "", false, false},
		"unknown, plain 404":     {404, `{"detail":"Request not found"}`, "", false, false},
		"forbidden":              {403, `{"detail":"forbidden"}`, "", false, true},
		"proxy error":            {502, `<html>`, "", false, true},
		"empty":                  {200, ``, "", false, true},
	} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut && r.URL.Path == "/wan/v2.6/requests/r-1/cancel":
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			case c.then == "":
				w.WriteHeader(http.StatusNotFound)
				w.Write([]byte(`{"detail":"Request not found"}`))
			default:
				w.Write(providertest.ReadTestdata(t, c.then))
			}
		})

		got, err := connect(t, address, time.Now, nil).Cancel(t.Context(), testRemoteID)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", name, got, err)
		}

		if err != nil {
			providertest.FailureOf(t, err, secret)
		}
	}
}

func TestUploadRequests(t *testing.T) {
	var stored string

	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			b := new(bytes.Buffer)
			b.ReadFrom(r.Body)

			stored = r.Header.Get("Content-Type") + " " + b.String()
			if r.Header.Get("Authorization") != "" {
				t.Error("the key was sent to the storage")
			}

			return
		}

		var body map[string]string

		_ = json.NewDecoder(r.Body).Decode(&body)
		if r.URL.String() != "/storage/upload/initiate?storage_type=fal-cdn-v3" || r.Header.Get("Authorization") != "Key "+secret || body["file_name"] != "one.png" || body["content_type"] != "image/png" {
			t.Errorf("%s %v", r.URL, body)
		}

		w.Write(bytes.ReplaceAll(providertest.ReadTestdata(t, "upload-urls.json"), []byte("https://v3b.fal.media"), []byte("http://"+r.Host)))
	})
	f := connect(t, "http://127.0.0.1:1", time.Now, map[string]string{"storage_url": address + "/"})

	got, err := f.Upload(t.Context(), "m", "one.png", 3, strings.NewReader("abc"))
	if err != nil || got != address+"/files/b/koala/one.png" || stored != "image/png abc" {
		t.Errorf("Upload = %q, %v, stored %q", got, err, stored)
	}

	for body, want := range map[string]provider.Class{
		`200 {}`: provider.Transient, `200 {"upload_url":"file:///a","file_url":"https://x.org/b"}`: provider.Transient,
		`401 {"detail":"no"}`: provider.AccountBlocked, `500 <html>`: provider.Transient,
	} {
		code, said, _ := strings.Cut(body, " ")
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(int(code[0]-'0')*100 + int(code[2]-'0'))
			w.Write([]byte(said))
		})

		_, err := connect(t, address, time.Now, nil).Upload(t.Context(), "m", "one.png", 3, strings.NewReader("abc"))
		if f := providertest.FailureOf(t, err, secret); f.Class != want {
			t.Errorf("%s: %v, want %s", body, f, want)
		}
	}
}

func TestStorageURL(t *testing.T) {
	for _, c := range []struct{ origin, store, want string }{
		{"", "", defaultStorageURL},
		{defaultBaseURL + "/", "", defaultStorageURL},
		{"http://127.0.0.1:9", "", "http://127.0.0.1:9"},
		{"http://127.0.0.1:9", "https://s.org/", "https://s.org"},
		{"", "s.org", ""},
		{"", "ftp://s.org", ""},
	} {
		o := provider.Options{BaseURL: c.origin, Secret: secret, HTTPClient: http.DefaultClient, SubmitHTTPClient: http.DefaultClient, Now: time.Now}
		if c.store != "" {
			o.Settings = map[string]string{"storage_url": c.store}
		}

		p, err := New(o)
		if (err != nil) != (c.want == "") || err == nil && p.(*fal).storageURL != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	return server.URL
}

// createResponseAt is the recorded response to a submission, with this origin in
// its URLs.
func createResponseAt(t testing.TB, origin string) []byte {
	return bytes.ReplaceAll(providertest.ReadTestdata(t, "queued.json"), []byte("ORIGIN"), []byte(origin))
}

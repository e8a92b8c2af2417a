package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBucketFromFileAndEnvironment(t *testing.T) {
	folder := isolateEnv(t)
	writeFile(t, filepath.Join(folder, "unireel.yaml"), "blob: s3://videos/a/b/\ns3: {endpoint: \"http://127.0.0.1:9000\", region: eu-north-1, access_key: of-the-file, presign: true, addressing: path}\n")
	t.Setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sk-hidden-0123")

	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}

	want := S3{Endpoint: "http://127.0.0.1:9000", Region: "eu-north-1", AccessKey: "of-the-environment", SecretKey: NewSecret("sk-hidden-0123"), Addressing: "path", Presign: true}
	if diff := cmp.Diff(want, c.S3); diff != "" {
		t.Error(diff)
	}

	if c.Blob != (Bucket{Name: "videos", Prefix: "a/b"}) || c.Blob.String() != "s3://videos/a/b" {
		t.Errorf("the bucket is %+v", c.Blob)
	}

	t.Setenv("UNIREEL_S3_ACCESS_KEY", "our-own")
	t.Setenv("UNIREEL_BLOB", "s3://other")

	if c, err = Load(); err != nil || c.S3.AccessKey != "our-own" || c.Blob != (Bucket{Name: "other"}) {
		t.Errorf("%+v, %v", c.S3, err)
	}
}

func TestInvalidBucketErrorShowsFormat(t *testing.T) {
	const keys = "s3: {access_key: a, secret_key: sk-hidden-0123}\n"
	for _, c := range []struct{ text, want string }{
		{"blob: videos\n", `"videos" is not a bucket; write it like s3://videos`},
		{"blob: file:///srv/films\n", "is not a bucket"},
		{"blob: https://minio.example.com/films\n", "is not a bucket"},
		{"blob: s3://\n", "is not a bucket's name"},
		{"blob: s3://Films\n", "is not a bucket's name"},
		{"blob: s3://a..b\n", "is not a bucket's name"},
		{"blob: s3://minio:9000/films\n", "set the endpoint with --s3-endpoint"},
		{"blob: s3://key:sk-hidden-0123@videos\n", "UNIREEL_S3_SECRET_KEY"},
		{"blob: s3://videos?region=eu-west-1\n", `"?region=eu-west-1" is not part`},
		{"blob: s3://videos/a//b\n", "is not a prefix"},
		{"blob: s3://videos/../b\n", "is not a prefix"},
		{"blob: \"s3://videos/a b\"\n", "is not a prefix"},
		{"blob: s3://videos\n", "s3_access_key: is missing"},
		{"blob: s3://videos\ns3: {access_key: a}\n", "s3_secret_key: is missing"},
		{"s3: {endpoint: \"http://127.0.0.1:9000\"}\n", "s3_endpoint: is set, but no bucket is"},
		{"s3: {presign: true}\n", "s3_presign: is set, but no bucket is"},
		{"s3: {endpoint: \"minio:9000\"}\n", "s3_endpoint: it is not http(s)://HOST[:PORT]"},
		{"s3: {endpoint: \"http://minio:9000/films\"}\n", "s3_endpoint:"},
		{"s3: {endpoint: \"http://key:sk-hidden-0123@minio:9000\"}\n", "s3_endpoint:"},
		{"blob: s3://videos\ns3: {adressin: path}\n", "did you mean addressing?"},
		{"s3: {addressing: both}\n", "--s3-addressing must be one of"},
		{"blob: s3://videos\n" + keys, ""},
		{"blob: \"\"\n" + keys, ""},
	} {
		folder := isolateEnv(t)
		writeFile(t, filepath.Join(folder, "unireel.yaml"), c.text)

		_, err := Load()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		case err != nil && (strings.Contains(err.Error(), "sk-hidden") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: the error shows a secret or has several lines: %v", c.text, err)
		}
	}
}

func FuzzBucket(f *testing.F) {
	for _, text := range []string{"s3://videos", "s3://videos/a/b/", "s3://a/../b", "s3://k:s@x"} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		var b, again Bucket
		if b.UnmarshalText([]byte(text)) != nil {
			return
		}

		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Fatalf("%q came back as %+v, %v", b, again, err)
		}
	})
}

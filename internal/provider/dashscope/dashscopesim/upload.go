package dashscopesim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // pictures whose shape decides an I2V size
	_ "image/png"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// upload is a place that a policy gave, and the bytes once they came.
type upload struct {
	account, model string
	folder         string
	policy         string
	expires        time.Time // of the policy
	key            string    // "" until the bytes came
	bytes          []byte
	until          time.Time // of the bytes
}

const (
	policyLife = 300 * time.Second
	uploadLife = 48 * time.Hour
	// keptUploads bounds the memory of the fake object store.
	keptUploads = 64
)

// policy allows one upload for one model.
func (s *Sim) policy(c *call) reply {
	model := c.URL.Query().Get("model")
	if c.URL.Query().Get("action") != "getPolicy" || model == "" {
		return refusal(http.StatusBadRequest, "InvalidParameter", "Required parameter(model) missing or invalid, please check the request parameters.")
	}

	u := &upload{
		account: c.key.Account, model: model, expires: c.now.Add(policyLife),
		folder: fmt.Sprintf("dashscope-instant/%s/%s/%s", s.sign(c.key.Account), c.now.In(beijing).Format("2006-01-02"), c.id),
	}
	u.policy = base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"expiration":%q,"conditions":[["content-length-range",0,%d],["starts-with","$key",%q],{"x-oss-object-acl":"private"},{"x-oss-forbid-overwrite":"true"}]}`,
		u.expires.UTC().Format(time.RFC3339), s.o.MaxUploadMB<<20, u.folder))
	s.mu.Lock()
	for folder, old := range s.uploads {
		if len(s.uploads) >= keptUploads && (old.key == "" && c.now.After(old.expires) || old.key != "" && c.now.After(old.until)) {
			delete(s.uploads, folder)
		}
	}

	s.uploads[u.folder] = u
	s.mu.Unlock()

	return answer(http.StatusOK, map[string]any{"request_id": c.id, "data": map[string]any{
		"policy": u.policy, "signature": s.sign(u.policy), "upload_dir": u.folder, "upload_host": origin(c.Request) + "/oss",
		"expire_in_seconds": int(policyLife.Seconds()), "max_file_size_mb": s.o.MaxUploadMB, "capacity_limit_mb": 999999999,
		"oss_access_key_id": "simulated", "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true",
	}})
}

// keep is the object store's end of an upload: fields first, file last.
func (s *Sim) keep(c *call) reply {
	form, err := c.MultipartReader()
	if err != nil {
		return ossRefusal(http.StatusBadRequest, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
	}

	fields := map[string]string{}

	for {
		part, err := form.NextPart()
		if err != nil {
			return ossRefusal(http.StatusBadRequest, "IncorrectNumberOfFilesInPOSTRequest", "POST requires exactly one file upload per request.")
		}

		if part.FormName() == "file" {
			return s.keepFile(c, fields, part)
		}

		b, err := io.ReadAll(io.LimitReader(part, 64<<10))
		if err != nil {
			return ossRefusal(http.StatusBadRequest, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
		}

		fields[part.FormName()] = string(b)
	}
}

func (s *Sim) keepFile(c *call, fields map[string]string, file io.Reader) reply {
	s.mu.Lock()
	u := s.uploads[folderOf(fields["key"])]
	s.mu.Unlock()

	switch {
	case u == nil || fields["policy"] != u.policy || fields["Signature"] != s.sign(u.policy) || fields["OSSAccessKeyId"] != "simulated":
		return ossRefusal(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")
	case c.now.After(u.expires):
		return ossRefusal(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy expired.")
	case fields["x-oss-object-acl"] != "private" || fields["x-oss-forbid-overwrite"] != "true":
		return ossRefusal(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")
	}

	limit := int64(s.o.MaxUploadMB) << 20

	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return ossRefusal(http.StatusBadRequest, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	}

	if int64(len(b)) > limit {
		return ossRefusal(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if u.key != "" {
		return ossRefusal(http.StatusConflict, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.")
	}

	u.key = fields["key"]
	u.bytes = b
	u.until = c.now.Add(uploadLife)

	if fields["success_action_status"] == "200" {
		return reply{status: http.StatusOK}
	}

	return reply{status: http.StatusNoContent}
}

func folderOf(key string) string { return key[:max(strings.LastIndexByte(key, '/'), 0)] }

// Kept is what was uploaded to an oss:// address.
func (s *Sim) Kept(address string) ([]byte, error) {
	key := strings.TrimPrefix(address, "oss://")

	s.mu.Lock()
	defer s.mu.Unlock()

	if u := s.uploads[folderOf(key)]; u != nil && u.key == key {
		return u.bytes, nil
	}

	return nil, errors.New("nothing was uploaded to " + address)
}

// readable says whether a task of this account and model may read the address.
func (s *Sim) readable(address string, key Key, model string) bool {
	name := strings.TrimPrefix(address, "oss://")

	s.mu.Lock()
	defer s.mu.Unlock()

	u := s.uploads[folderOf(name)]

	return u != nil && u.key == name && u.account == key.Account && u.model == model && s.o.Now().Before(u.until)
}

// shape is the size of the tier nearest to the picture's shape; 16:9 when the
// picture cannot be seen from here.
func (s *Sim) shape(address string, list []string) string {
	var b []byte
	if _, data, ok := strings.Cut(address, ";base64,"); ok && strings.HasPrefix(address, "data:") {
		b, _ = base64.StdEncoding.DecodeString(data)
	} else if strings.HasPrefix(address, "oss://") {
		b, _ = s.Kept(address)
	}

	config, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil || config.Height == 0 || config.Width == 0 {
		return list[0]
	}

	want := math.Log(float64(config.Width) / float64(config.Height))
	best := ""
	nearest := math.Inf(1)

	for _, size := range list {
		var w, h float64

		_, _ = fmt.Sscanf(size, "%f*%f", &w, &h)
		if d := math.Abs(math.Log(w/h) - want); d < nearest {
			best = size
			nearest = d
		}
	}

	return best
}

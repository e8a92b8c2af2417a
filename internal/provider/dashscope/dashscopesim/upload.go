package dashscopesim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // decoders of pictures, whose shape decides an I2V size
	_ "image/png"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// upload is the destination that a policy allowed, and the bytes once they
// arrived.
type upload struct {
	account, model  string
	dir             string
	policy          string
	policyExpiresAt time.Time // of the policy
	key             string    // "" until the bytes arrived
	bytes           []byte
	expiresAt       time.Time // of the bytes
}

const (
	policyTTL = 300 * time.Second
	uploadTTL = 48 * time.Hour
	// maxUploads bounds the memory of the simulated object store.
	maxUploads = 64
)

// uploadPolicy allows one upload for one model.
func (s *Sim) uploadPolicy(c *apiCall) response {
	model := c.URL.Query().Get("model")
	if c.URL.Query().Get("action") != "getPolicy" || model == "" {
		return errorResponse(http.StatusBadRequest, "InvalidParameter", "Required parameter(model) missing or invalid, please check the request parameters.")
	}

	u := &upload{
		account:         c.key.Account,
		model:           model,
		policyExpiresAt: c.now.Add(policyTTL),
		dir:             fmt.Sprintf("dashscope-instant/%s/%s/%s", s.sign(c.key.Account), c.now.In(beijing).Format("2006-01-02"), c.requestID),
	}
	u.policy = base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"expiration":%q,"conditions":[["content-length-range",0,%d],["starts-with","$key",%q],{"x-oss-object-acl":"private"},{"x-oss-forbid-overwrite":"true"}]}`,
		u.policyExpiresAt.UTC().Format(time.RFC3339), s.o.MaxUploadMB<<20, u.dir))
	s.mu.Lock()
	for folder, old := range s.uploads {
		if len(s.uploads) >= maxUploads && (old.key == "" && c.now.After(old.policyExpiresAt) || old.key != "" && c.now.After(old.expiresAt)) {
			delete(s.uploads, folder)
		}
	}

	s.uploads[u.dir] = u
	s.mu.Unlock()

	return jsonResponse(http.StatusOK, map[string]any{"request_id": c.requestID, "data": map[string]any{
		"policy":                 u.policy,
		"signature":              s.sign(u.policy),
		"upload_dir":             u.dir,
		"upload_host":            baseURL(c.Request) + "/oss",
		"expire_in_seconds":      int(policyTTL.Seconds()),
		"max_file_size_mb":       s.o.MaxUploadMB,
		"capacity_limit_mb":      999999999,
		"oss_access_key_id":      "simulated",
		"x_oss_object_acl":       "private",
		"x_oss_forbid_overwrite": "true",
	}})
}

// storeUpload is the object store's side of an upload: fields first, the file
// last.
func (s *Sim) storeUpload(c *apiCall) response {
	form, err := c.MultipartReader()
	if err != nil {
		return ossErrorResponse(http.StatusBadRequest, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
	}

	fields := map[string]string{}

	for {
		part, err := form.NextPart()
		if err != nil {
			return ossErrorResponse(http.StatusBadRequest, "IncorrectNumberOfFilesInPOSTRequest", "POST requires exactly one file upload per request.")
		}

		if part.FormName() == "file" {
			return s.storeFile(c, fields, part)
		}

		b, err := io.ReadAll(io.LimitReader(part, 64<<10))
		if err != nil {
			return ossErrorResponse(http.StatusBadRequest, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
		}

		fields[part.FormName()] = string(b)
	}
}

func (s *Sim) storeFile(c *apiCall, fields map[string]string, file io.Reader) response {
	s.mu.Lock()
	u := s.uploads[dirOf(fields["key"])]
	s.mu.Unlock()

	switch {
	case u == nil || fields["policy"] != u.policy || fields["Signature"] != s.sign(u.policy) || fields["OSSAccessKeyId"] != "simulated":
		return ossErrorResponse(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")
	case c.now.After(u.policyExpiresAt):
		return ossErrorResponse(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy expired.")
	case fields["x-oss-object-acl"] != "private" || fields["x-oss-forbid-overwrite"] != "true":
		return ossErrorResponse(http.StatusForbidden, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")
	}

	limit := int64(s.o.MaxUploadMB) << 20

	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return ossErrorResponse(http.StatusBadRequest, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	}

	if int64(len(b)) > limit {
		return ossErrorResponse(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if u.key != "" {
		return ossErrorResponse(http.StatusConflict, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.")
	}

	u.key = fields["key"]
	u.bytes = b
	u.expiresAt = c.now.Add(uploadTTL)

	if fields["success_action_status"] == "200" {
		return response{status: http.StatusOK}
	}

	return response{status: http.StatusNoContent}
}

func dirOf(key string) string { return key[:max(strings.LastIndexByte(key, '/'), 0)] }

// UploadedBytes returns what was uploaded to an oss:// address.
func (s *Sim) UploadedBytes(address string) ([]byte, error) {
	key := strings.TrimPrefix(address, "oss://")

	s.mu.Lock()
	defer s.mu.Unlock()

	if u := s.uploads[dirOf(key)]; u != nil && u.key == key {
		return u.bytes, nil
	}

	return nil, errors.New("nothing was uploaded to " + address)
}

// canRead reports whether a task of this account and model may read the address.
func (s *Sim) canRead(address string, key Key, model string) bool {
	name := strings.TrimPrefix(address, "oss://")

	s.mu.Lock()
	defer s.mu.Unlock()

	u := s.uploads[dirOf(name)]

	return u != nil && u.key == name && u.account == key.Account && u.model == model && s.o.Now().Before(u.expiresAt)
}

// closestSize returns the size of the tier that is nearest to the picture's aspect
// ratio; 16:9 when the picture cannot be read from here.
func (s *Sim) closestSize(address string, list []string) string {
	var b []byte
	if _, data, ok := strings.Cut(address, ";base64,"); ok && strings.HasPrefix(address, "data:") {
		b, _ = base64.StdEncoding.DecodeString(data)
	} else if strings.HasPrefix(address, "oss://") {
		b, _ = s.UploadedBytes(address)
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

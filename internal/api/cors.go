package api

import (
	"net/http"
	"slices"
	"strings"
)

// exposedHeaders lists the response headers that a web page may read.
const exposedHeaders = "X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy, RateLimit, X-Should-Retry, openai-poll-after-ms, Allow, ETag, Content-Range, Content-Disposition"

// cors lets web pages of the allowed origins call with a key. There are no cookies, so a
// page can do nothing without a key. The operator's endpoints allow no other origin.
func (a *API) cors(next http.Handler) http.Handler {
	all := slices.Contains(a.CORS, "*")

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" || strings.HasPrefix(r.URL.Path, "/admin/") || !all && !slices.Contains(a.CORS, origin) {
			next.ServeHTTP(w, r)
			return
		}

		h := w.Header()
		if all {
			h.Set("Access-Control-Allow-Origin", "*")
		} else {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Add("Vary", "Origin")
		}

		h.Set("Access-Control-Expose-Headers", exposedHeaders)

		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}

		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
		h.Set("Access-Control-Max-Age", "86400")
		h.Add("Vary", "Access-Control-Request-Headers")

		if requested := r.Header.Get("Access-Control-Request-Headers"); requested != "" {
			h.Set("Access-Control-Allow-Headers", requested) // SDKs add many headers of their own
		}

		h.Set("X-Request-Id", requestID(r, a.NewID))
		w.WriteHeader(http.StatusNoContent)
	})
}

package api

import "github.com/unireel/unireel/internal/account"

// endpoint is one method of one path, what its caller needs, and who answers.
type endpoint struct {
	method, path string
	needs        need
	answer       func(*call) error
}

// need is what an endpoint asks of its caller.
type need string

const (
	open   need = ""                       // nothing
	read        = need(account.ScopeRead)  // a key with this scope
	write       = need(account.ScopeWrite) //
	admin       = need(account.ScopeAdmin) // or to come by the data folder's socket
	create need = "to order a video"       // as write; counted by the rate of creates, all else by that of reads
	linked need = "a key or a signed link" // the handler looks itself
)

// scope is what a key must have for it.
func (n need) scope() account.Scope {
	if n == create {
		return account.ScopeWrite
	}

	return account.Scope(n)
}

func (a *API) routes() []endpoint {
	return []endpoint{
		{"POST", "/v1/video/generations", create, a.createVideo},
		{"POST", "/v1/videos/generations", create, a.createVideo},
		{"POST", "/v1/video/generations/estimate", read, a.estimateVideo},
		{"POST", "/v1/videos", create, openAI(a.createOpenAI)},
		{"GET", "/v1/videos", read, openAI(a.listVideos)},
		{"GET", "/v1/videos/{id}", read, openAI(a.getVideo)},
		{"GET", "/v1/video/generations/{id}", read, a.getVideo},
		{"GET", "/v1/videos/generations/{id}", read, a.getVideo},
		{"DELETE", "/v1/videos/{id}", write, a.deleteVideo},
		{"POST", "/v1/videos/{id}/cancel", write, a.cancelVideo},
		{"GET", "/v1/videos/{id}/events", read, a.taskEvents},
		{"GET", "/v1/videos/{id}/content", linked, a.videoContent},
		{"GET", "/v1/videos/{id}/thumbnail", linked, a.videoThumbnail},
		{"GET", "/v1/events", read, a.accountEvents},

		{"POST", "/v1/files", write, a.uploadFile},
		{"GET", "/v1/files", read, a.listFiles},
		{"GET", "/v1/files/{id}", read, a.getFile},
		{"GET", "/v1/files/{id}/content", read, a.fileContent},
		{"DELETE", "/v1/files/{id}", write, a.deleteFile},

		{"POST", "/v1/webhooks", write, a.addWebhook},
		{"GET", "/v1/webhooks", read, a.listWebhooks},
		{"GET", "/v1/webhooks/{id}", read, a.getWebhook},
		{"PATCH", "/v1/webhooks/{id}", write, a.changeWebhook},
		{"DELETE", "/v1/webhooks/{id}", write, a.deleteWebhook},
		{"GET", "/v1/webhooks/{id}/secret", write, a.getWebhookSecret},
		{"POST", "/v1/webhooks/{id}/secret", write, a.rotateWebhookSecret},
		{"POST", "/v1/webhooks/{id}/test", write, a.testWebhook},
		{"GET", "/v1/webhooks/{id}/deliveries", read, a.listDeliveries},
		{"POST", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", write, a.redeliver},

		{"POST", "/api/v1/services/aigc/video-generation/video-synthesis", create, a.createDashScope},
		{"GET", "/api/v1/tasks/{id}", read, a.getDashScope},
		{"POST", "/api/v1/tasks/{id}/cancel", write, a.cancelDashScope},
		{"GET", "/api/v1/tasks", read, a.listDashScope},
		{"GET", "/api/v1/tasks/{$}", read, a.listDashScope},
		{"GET", "/api/v1/uploads", write, a.uploadPolicy},
		{"POST", "/api/v1/uploads", open, a.uploadDashScope},

		{"GET", "/v1/models", read, a.listModels},
		{"GET", "/v1/models/{id}", read, a.getModel},
		{"GET", "/v1/balance", read, a.getBalance},
		{"GET", "/v1/usage", read, a.getUsage},

		{"GET", "/{$}", open, a.home},
		{"GET", "/docs", open, a.docs},
		{"GET", "/docs/{file}", open, a.docsFile},
		{"GET", "/docs/{language}/{page}", open, a.docsPage},
		{"GET", "/llms.txt", open, a.llms},
		{"GET", "/openapi.json", open, a.openAPI},
		{"GET", "/healthz", open, a.healthz},
		{"GET", "/readyz", open, a.readyz},
		{"GET", "/metrics", open, a.metrics},
	}
}

func (a *API) adminRoutes() []endpoint {
	return []endpoint{
		{"POST", "/admin/v1/accounts", admin, a.openAccount},
		{"GET", "/admin/v1/accounts", admin, a.listAccounts},
		{"PATCH", "/admin/v1/accounts/{id}", admin, a.changeAccount},
		{"POST", "/admin/v1/accounts/{id}/keys", admin, a.issueKey},
		{"GET", "/admin/v1/accounts/{id}/keys", admin, a.listKeys},
		{"PATCH", "/admin/v1/keys/{id}", admin, a.changeKey},
		{"DELETE", "/admin/v1/keys/{id}", admin, a.revokeKey},
		{"POST", "/admin/v1/accounts/{id}/credit", admin, a.grantCredit},
		{"GET", "/admin/v1/accounts/{id}/entries", admin, a.listEntries},
		{"GET", "/admin/v1/upstreams", admin, a.listUpstreams},
		{"POST", "/admin/v1/upstreams", admin, a.addUpstream},
		{"POST", "/admin/v1/upstreams/{name}/test", admin, a.testUpstream},
		{"POST", "/admin/v1/upstreams/{name}/pause", admin, a.wishUpstream("pause")},
		{"POST", "/admin/v1/upstreams/{name}/resume", admin, a.wishUpstream("resume")},
		{"POST", "/admin/v1/upstreams/{name}/drain", admin, a.wishUpstream("drain")},
		{"DELETE", "/admin/v1/upstreams/{name}", admin, a.wishUpstream("remove")},
		{"GET", "/admin/v1/routes", admin, a.listRoutes},
		{"GET", "/admin/v1/prices", admin, a.listPrices},
		{"GET", "/admin/v1/tasks", admin, a.searchTasks},
		{"GET", "/admin/v1/tasks/{id}", admin, a.showTask},
		{"POST", "/admin/v1/tasks/{id}/cancel", admin, a.cancelTask},
		{"GET", "/admin/v1/audit", admin, a.listAudit},
		{"GET", "/admin/v1/doctor", admin, a.doctor},
	}
}

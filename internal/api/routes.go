package api

import "github.com/unireel/unireel/internal/account"

// endpoint is one method of one path, the access level that it requires, and its handler.
type endpoint struct {
	method, path string
	access       accessLevel
	handle       func(*requestContext) error
}

// accessLevel is what an endpoint requires of its caller.
type accessLevel string

const (
	accessPublic    accessLevel = ""                              // no key
	accessRead                  = accessLevel(account.ScopeRead)  // a key with the scope read
	accessWrite                 = accessLevel(account.ScopeWrite) // a key with the scope write
	accessAdmin                 = accessLevel(account.ScopeAdmin) // a key with the scope admin, or a connection to the data folder's socket
	accessCreate    accessLevel = "create"                        // like accessWrite, but limited by the rate for creating; all else by the rate for reading
	accessKeyOrLink accessLevel = "key or link"                   // a key or a signed link; the handler checks it
)

// requiredScope returns the scope that a key needs for it.
func (n accessLevel) requiredScope() account.Scope {
	if n == accessCreate {
		return account.ScopeWrite
	}

	return account.Scope(n)
}

// routes are the customers' endpoints, and those that need no key.
func (a *API) routes() []endpoint {
	return []endpoint{
		{"POST", "/v1/video/generations", accessCreate, a.createVideo},
		{"POST", "/v1/videos/generations", accessCreate, a.createVideo},
		{"POST", "/v1/video/generations/estimate", accessRead, a.estimateVideo},
		{"POST", "/v1/videos", accessCreate, openAIPath(a.createOpenAI)},
		{"GET", "/v1/videos", accessRead, openAIPath(a.listVideos)},
		{"GET", "/v1/videos/{id}", accessRead, openAIPath(a.getVideo)},
		{"GET", "/v1/video/generations/{id}", accessRead, a.getVideo},
		{"GET", "/v1/videos/generations/{id}", accessRead, a.getVideo},
		{"DELETE", "/v1/videos/{id}", accessWrite, a.deleteVideo},
		{"POST", "/v1/videos/{id}/cancel", accessWrite, a.cancelVideo},
		{"GET", "/v1/videos/{id}/events", accessRead, a.taskEvents},
		{"GET", "/v1/videos/{id}/content", accessKeyOrLink, a.videoContent},
		{"GET", "/v1/videos/{id}/thumbnail", accessKeyOrLink, a.videoThumbnail},
		{"GET", "/v1/events", accessRead, a.accountEvents},

		{"POST", "/v1/files", accessWrite, a.uploadFile},
		{"GET", "/v1/files", accessRead, a.listFiles},
		{"GET", "/v1/files/{id}", accessRead, a.getFile},
		{"GET", "/v1/files/{id}/content", accessRead, a.fileContent},
		{"DELETE", "/v1/files/{id}", accessWrite, a.deleteFile},

		{"POST", "/v1/webhooks", accessWrite, a.createWebhook},
		{"GET", "/v1/webhooks", accessRead, a.listWebhooks},
		{"GET", "/v1/webhooks/{id}", accessRead, a.getWebhook},
		{"PATCH", "/v1/webhooks/{id}", accessWrite, a.updateWebhook},
		{"DELETE", "/v1/webhooks/{id}", accessWrite, a.deleteWebhook},
		{"GET", "/v1/webhooks/{id}/secret", accessWrite, a.getWebhookSecret},
		{"POST", "/v1/webhooks/{id}/secret", accessWrite, a.rotateWebhookSecret},
		{"POST", "/v1/webhooks/{id}/test", accessWrite, a.testWebhook},
		{"GET", "/v1/webhooks/{id}/deliveries", accessRead, a.listDeliveries},
		{"POST", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", accessWrite, a.redeliver},

		{"POST", "/api/v1/services/aigc/video-generation/video-synthesis", accessCreate, a.createDashScope},
		{"GET", "/api/v1/tasks/{id}", accessRead, a.getDashScope},
		{"POST", "/api/v1/tasks/{id}/cancel", accessWrite, a.cancelDashScope},
		{"GET", "/api/v1/tasks", accessRead, a.listDashScope},
		{"GET", "/api/v1/tasks/{$}", accessRead, a.listDashScope},
		{"GET", "/api/v1/uploads", accessWrite, a.uploadPolicy},
		{"POST", "/api/v1/uploads", accessPublic, a.uploadDashScope},

		{"GET", "/v1/models", accessRead, a.listModels},
		{"GET", "/v1/models/{id}", accessRead, a.getModel},
		{"GET", "/v1/balance", accessRead, a.getBalance},
		{"GET", "/v1/usage", accessRead, a.getUsage},

		{"GET", "/{$}", accessPublic, a.home},
		{"GET", "/docs", accessPublic, a.docs},
		{"GET", "/docs/{file}", accessPublic, a.docsFile},
		{"GET", "/docs/{language}/{page}", accessPublic, a.docsPage},
		{"GET", "/llms.txt", accessPublic, a.llms},
		{"GET", "/openapi.json", accessPublic, a.openAPI},
		{"GET", "/healthz", accessPublic, a.healthz},
		{"GET", "/readyz", accessPublic, a.readyz},
		{"GET", "/metrics", accessPublic, a.metrics},
	}
}

// adminRoutes are the operator's endpoints.
func (a *API) adminRoutes() []endpoint {
	return []endpoint{
		{"POST", "/admin/v1/accounts", accessAdmin, a.createAccount},
		{"GET", "/admin/v1/accounts", accessAdmin, a.listAccounts},
		{"PATCH", "/admin/v1/accounts/{id}", accessAdmin, a.updateAccount},
		{"POST", "/admin/v1/accounts/{id}/keys", accessAdmin, a.createKey},
		{"GET", "/admin/v1/accounts/{id}/keys", accessAdmin, a.listKeys},
		{"PATCH", "/admin/v1/keys/{id}", accessAdmin, a.updateKey},
		{"DELETE", "/admin/v1/keys/{id}", accessAdmin, a.revokeKey},
		{"POST", "/admin/v1/accounts/{id}/credit", accessAdmin, a.grantCredit},
		{"GET", "/admin/v1/accounts/{id}/entries", accessAdmin, a.listEntries},
		{"GET", "/admin/v1/upstreams", accessAdmin, a.listUpstreams},
		{"POST", "/admin/v1/upstreams", accessAdmin, a.addUpstream},
		{"POST", "/admin/v1/upstreams/{name}/test", accessAdmin, a.testUpstream},
		{"POST", "/admin/v1/upstreams/{name}/pause", accessAdmin, a.setUpstreamState("pause")},
		{"POST", "/admin/v1/upstreams/{name}/resume", accessAdmin, a.setUpstreamState("resume")},
		{"POST", "/admin/v1/upstreams/{name}/drain", accessAdmin, a.setUpstreamState("drain")},
		{"DELETE", "/admin/v1/upstreams/{name}", accessAdmin, a.setUpstreamState("remove")},
		{"GET", "/admin/v1/routes", accessAdmin, a.listRoutes},
		{"GET", "/admin/v1/prices", accessAdmin, a.listPrices},
		{"GET", "/admin/v1/tasks", accessAdmin, a.searchTasks},
		{"GET", "/admin/v1/tasks/{id}", accessAdmin, a.getTask},
		{"POST", "/admin/v1/tasks/{id}/cancel", accessAdmin, a.cancelTask},
		{"GET", "/admin/v1/audit", accessAdmin, a.listAudit},
		{"GET", "/admin/v1/doctor", accessAdmin, a.doctor},
	}
}

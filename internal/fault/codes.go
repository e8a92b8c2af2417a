package fault

// Codes of rejected requests.
const (
	CodeMalformedBody          Code = "malformed_body"
	CodeUnknownField           Code = "unknown_field"
	CodeWrongType              Code = "wrong_type"
	CodeMissingField           Code = "missing_field"
	CodeInvalidValue           Code = "invalid_value"
	CodeConflictingFields      Code = "conflicting_fields"
	CodeUnknownModel           Code = "unknown_model"
	CodeNoRoute                Code = "no_route"
	CodeIdempotencyMismatch    Code = "idempotency_mismatch"
	CodeMissingAPIKey          Code = "missing_api_key"
	CodeInvalidAPIKey          Code = "invalid_api_key"
	CodeInsufficientCredit     Code = "insufficient_credit"
	CodeBudgetExceeded         Code = "budget_exceeded"
	CodeInsufficientScope      Code = "insufficient_scope"
	CodeModelNotAllowed        Code = "model_not_allowed"
	CodeLinkExpired            Code = "link_expired"
	CodeInvalidSignature       Code = "invalid_signature"
	CodeUnknownPath            Code = "unknown_path"
	CodeVideoNotFound          Code = "video_not_found"
	CodeFileNotFound           Code = "file_not_found"
	CodeWebhookNotFound        Code = "webhook_not_found"
	CodeDeliveryNotFound       Code = "delivery_not_found"
	CodeVideoNotReady          Code = "video_not_ready"
	CodeMethodNotAllowed       Code = "method_not_allowed"
	CodeRequestTimeout         Code = "request_timeout"
	CodeVideoExpired           Code = "video_expired"
	CodeBodyTooLarge           Code = "body_too_large"
	CodeUnsupportedContentType Code = "unsupported_content_type"
	CodeUnsupportedFileType    Code = "unsupported_file_type"
	CodeRateLimited            Code = "rate_limited"
	CodeInternal               Code = "internal_error"
	CodeUnavailable            Code = "unavailable"
	CodeStorageFull            Code = "storage_full"
	CodeAsynchronousOnly       Code = "asynchronous_only"
	CodeNotPending             Code = "not_pending"
	CodeAccountNotFound        Code = "account_not_found"
	CodeKeyNotFound            Code = "key_not_found"
	CodeUndocumentedBySupplier Code = "undocumented_by_supplier"
	CodeSizeFromImage          Code = "size_from_picture"
	CodeUnknownCharacter       Code = "no_such_character"
	CodeCancelRefused          Code = "cancel_refused"
	CodeResultMismatch         Code = "result_mismatch"
	CodeValueNotUsed           Code = "value_not_used"
)

// Codes of failed tasks.
const (
	CodeReferenceUnreachable Code = "reference_unreachable"
	CodeReferenceInvalid     Code = "reference_invalid"
	CodeContentRejected      Code = "content_rejected"
	CodeSupplierRejected     Code = "supplier_rejected"
	CodeSupplierFailed       Code = "supplier_failed"
	CodeUpstreamUnknown      Code = "upstream_unknown"
	CodeUpstreamLost         Code = "upstream_lost"
	CodeResultLost           Code = "result_lost"
	CodeExpired              Code = "expired"
	CodeRenderFailed         Code = "render_failed"
	CodeTaskTimedOut         Code = "task_timed_out"
	CodeCancelled            Code = "cancelled"
)

type codeInfo struct {
	kind    Kind
	meaning string
}

var codes = map[Code]codeInfo{
	CodeMalformedBody:          {Invalid, "The body is not valid JSON (or not valid multipart). Correct it at the place that the message names."},
	CodeUnknownField:           {Invalid, "The body has a field that does not exist. The message suggests the most similar one."},
	CodeWrongType:              {Invalid, "A field has the wrong JSON type."},
	CodeMissingField:           {Invalid, "A required field is absent or empty."},
	CodeInvalidValue:           {Invalid, "A field's value is not allowed; the message lists what is."},
	CodeConflictingFields:      {Invalid, "Two fields contradict each other, or the same field is given twice with different values."},
	CodeUnknownModel:           {Invalid, "There is no such model. GET /v1/models lists the models."},
	CodeNoRoute:                {Invalid, "No supplier that is configured here can serve the model with this request; the field named is what they do not support."},
	CodeNotPending:             {Invalid, "The DashScope-compatible API cancels only tasks that have not been submitted to a supplier."},
	CodeIdempotencyMismatch:    {Invalid, "This Idempotency-Key was used with another body within 24 hours. Use a new key."},
	CodeMissingAPIKey:          {Unauthenticated, "The request has no API key. Send Authorization: Bearer with your key."},
	CodeInvalidAPIKey:          {Unauthenticated, "The API key is unknown, revoked or expired."},
	CodeInsufficientCredit:     {PaymentRequired, "The account's free credit is less than the most that this task can cost."},
	CodeBudgetExceeded:         {PaymentRequired, "The task could exceed this API key's budget for the day or the month (UTC); the message says what is left and when the budget renews."},
	CodeInsufficientScope:      {Forbidden, "This API key does not have the scope that the message names; use a key that has it."},
	CodeModelNotAllowed:        {Forbidden, "This API key may not use this model; GET /v1/models lists the models that it may use."},
	CodeAsynchronousOnly:       {Forbidden, "The DashScope-compatible API creates videos only asynchronously: send the header X-DashScope-Async: enable."},
	CodeLinkExpired:            {Forbidden, "The signed link or the upload policy has expired. Get the task or the policy again for a new one."},
	CodeInvalidSignature:       {Forbidden, "The signature of the link or of the upload policy is wrong: it was changed or truncated. Get the task or the policy again for a new one."},
	CodeUnknownPath:            {NotFound, "There is no such path. The message lists similar ones."},
	CodeVideoNotFound:          {NotFound, "This account has no video with this id."},
	CodeFileNotFound:           {NotFound, "This account has no file with this id."},
	CodeWebhookNotFound:        {NotFound, "This account has no webhook endpoint with this id."},
	CodeDeliveryNotFound:       {NotFound, "This endpoint has no delivery with this id, or the delivery ended long ago and was deleted."},
	CodeVideoNotReady:          {NotFound, "The video is not finished yet; poll the task."},
	CodeAccountNotFound:        {NotFound, "There is no such account."},
	CodeKeyNotFound:            {NotFound, "There is no such key."},
	CodeMethodNotAllowed:       {MethodNotAllowed, "The path exists but does not accept this method; see the Allow header."},
	CodeRequestTimeout:         {TimedOut, "The body did not arrive in time."},
	CodeVideoExpired:           {Gone, "The video's retention time is over and its file was deleted."},
	CodeBodyTooLarge:           {TooLarge, "The body is larger than this path accepts; upload large media with POST /v1/files."},
	CodeUnsupportedContentType: {UnsupportedMediaType, "This path does not accept this Content-Type."},
	CodeUnsupportedFileType:    {UnsupportedMediaType, "The file's content is not an image, a video or an audio file of an accepted type, whatever its name says."},
	CodeRateLimited:            {RateLimited, "This API key sent more requests than its rate limit allows; retry after the seconds in Retry-After."},
	CodeInternal:               {Internal, "The server failed. Retry, and report the request id if the error persists."},
	CodeUnavailable:            {Unavailable, "This is not possible at the moment; nothing was accepted or charged. Retry after the seconds in Retry-After."},
	CodeStorageFull:            {Unavailable, "The server's storage is full; nothing was accepted or charged."},
	CodeReferenceUnreachable:   {Invalid, "A reference could not be fetched: its URL, its host or the response was not usable."},
	CodeReferenceInvalid:       {Invalid, "A reference was fetched, but the model does not accept it (type, bytes, pixels or seconds)."},
	CodeContentRejected:        {Invalid, "The supplier's content inspection rejected the prompt, a reference or the result."},
	CodeSupplierRejected:       {Invalid, "The supplier rejected the request."},
	CodeSupplierFailed:         {Unavailable, "The supplier failed to render the video, also when the task was submitted again. Create the task again later."},
	CodeUpstreamUnknown:        {Unavailable, "It could not be found out whether the supplier accepted the task. Its hold was released."},
	CodeUpstreamLost:           {Unavailable, "The supplier no longer knows the task. Its hold was released."},
	CodeResultLost:             {Unavailable, "The supplier rendered the video, but the file could not be downloaded before it expired."},
	CodeExpired:                {Invalid, "The task was not submitted before its start_by time."},
	CodeRenderFailed:           {Internal, "The embedded renderer failed."},
	CodeTaskTimedOut:           {Unavailable, "The task did not finish within the time that a task may take."},
	CodeCancelled:              {Invalid, "The task was cancelled as requested: the OpenAI-compatible API has no status for it except failed."},

	CodeUndocumentedBySupplier: {Invalid, "Warning: the supplier does not document this field for this model; it was sent anyway."},
	CodeSizeFromImage:          {Invalid, "Warning: the aspect ratio of the image determines the size of this model's videos."},
	CodeUnknownCharacter:       {Invalid, "Warning: the prompt names a character that has no reference."},
	CodeCancelRefused:          {Invalid, "Warning: the supplier could not stop the task; it continues and is charged."},
	CodeResultMismatch:         {Invalid, "Warning: the video differs from the request as described."},
	CodeValueNotUsed:           {Invalid, "Warning: the value has no effect here."},
}

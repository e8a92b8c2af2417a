package fault

// Codes of refused requests.
const (
	CodeMalformedBody   Code = "malformed_body"
	CodeUnknownField    Code = "unknown_field"
	CodeWrongJSONType   Code = "wrong_type"
	CodeMissingField    Code = "missing_field"
	CodeInvalidValue    Code = "invalid_value"
	CodeConflict        Code = "conflicting_fields"
	CodeUnknownModel    Code = "unknown_model"
	CodeNoRoute         Code = "no_route"
	CodeMismatch        Code = "idempotency_mismatch"
	CodeNoKey           Code = "missing_api_key"
	CodeBadKey          Code = "invalid_api_key"
	CodeCredit          Code = "insufficient_credit"
	CodeBudget          Code = "budget_exceeded"
	CodeScope           Code = "insufficient_scope"
	CodeModelForbidden  Code = "model_not_allowed"
	CodeLinkExpired     Code = "link_expired"
	CodeBadSignature    Code = "invalid_signature"
	CodeNoPage          Code = "unknown_path"
	CodeNoTask          Code = "video_not_found"
	CodeNoFile          Code = "file_not_found"
	CodeNoEndpoint      Code = "webhook_not_found"
	CodeNoDelivery      Code = "delivery_not_found"
	CodeNotReady        Code = "video_not_ready"
	CodeMethod          Code = "method_not_allowed"
	CodeSlowBody        Code = "request_timeout"
	CodeVideoExpired    Code = "video_expired"
	CodeTooLarge        Code = "body_too_large"
	CodeContentType     Code = "unsupported_content_type"
	CodeFileType        Code = "unsupported_file_type"
	CodeRate            Code = "rate_limited"
	CodeInternal        Code = "internal_error"
	CodeUnavailable     Code = "unavailable"
	CodeDiskFull        Code = "storage_full"
	CodeAsyncOnly       Code = "asynchronous_only"
	CodeNotWaiting      Code = "not_pending"
	CodeNoAccount       Code = "account_not_found"
	CodeNoAPIKey        Code = "key_not_found"
	CodeNotDocumented   Code = "undocumented_by_supplier"
	CodeSizeFromPicture Code = "size_from_picture"
	CodeNoSuchCharacter Code = "no_such_character"
	CodeCancelRefused   Code = "cancel_refused"
	CodeResultMismatch  Code = "result_mismatch"
	CodeUnused          Code = "value_not_used"
)

// Codes of tasks that ended in failure.
const (
	CodeUnreachable     Code = "reference_unreachable"
	CodeBadReference    Code = "reference_invalid"
	CodeModerated       Code = "content_rejected"
	CodeRefused         Code = "supplier_rejected"
	CodeSupplier        Code = "supplier_failed"
	CodeUpstreamUnknown Code = "upstream_unknown"
	CodeUpstreamLost    Code = "upstream_lost"
	CodeResultLost      Code = "result_lost"
	CodeExpired         Code = "expired"
	CodeRender          Code = "render_failed"
	CodeTimedOut        Code = "task_timed_out"
	CodeCancelled       Code = "cancelled"
)

type info struct {
	kind    Kind
	meaning string
}

var codes = map[Code]info{
	CodeMalformedBody:   {Invalid, "The body is not valid JSON (or not valid multipart). Mend it at the place named."},
	CodeUnknownField:    {Invalid, "A field that does not exist. The message suggests the nearest one."},
	CodeWrongJSONType:   {Invalid, "A field has another JSON type than it should."},
	CodeMissingField:    {Invalid, "A required field is absent or empty."},
	CodeInvalidValue:    {Invalid, "A field's value is out of its bounds; the message lists them."},
	CodeConflict:        {Invalid, "Two fields contradict each other, or the same one stands twice with different values."},
	CodeUnknownModel:    {Invalid, "No such model. GET /v1/models lists them."},
	CodeNoRoute:         {Invalid, "No supplier that is configured here can make the model as asked; the field named is what it cannot do."},
	CodeNotWaiting:      {Invalid, "DashScope's dialect cancels only what no supplier has yet."},
	CodeMismatch:        {Invalid, "This Idempotency-Key was used with another body within 24 hours. Use a new key."},
	CodeNoKey:           {Unauthenticated, "The request has no API key. Send Authorization: Bearer with your key."},
	CodeBadKey:          {Unauthenticated, "The API key is unknown, revoked or expired."},
	CodeCredit:          {Unpaid, "The account's free credit is below the most that this task can cost."},
	CodeBudget:          {Unpaid, "The task could take this API key over its budget of the day or the month (UTC); the message says what is left and when it renews."},
	CodeScope:           {Forbidden, "This API key may not do this; ask for a key with the scope named."},
	CodeModelForbidden:  {Forbidden, "This API key may not ask for this model; GET /v1/models lists those that it may."},
	CodeAsyncOnly:       {Forbidden, "DashScope's dialect makes videos only asynchronously: send the header X-DashScope-Async: enable."},
	CodeLinkExpired:     {Forbidden, "The signed link or the upload policy is past its time. Get the task or the policy again for a fresh one."},
	CodeBadSignature:    {Forbidden, "The signature of the link or of the upload policy is wrong: it was changed or cut. Get the task or the policy again for a fresh one."},
	CodeNoPage:          {NotFound, "No such path. The message lists what is near."},
	CodeNoTask:          {NotFound, "This account has no video with this id."},
	CodeNoFile:          {NotFound, "This account has no file with this id."},
	CodeNoEndpoint:      {NotFound, "This account has no webhook endpoint with this id."},
	CodeNoDelivery:      {NotFound, "This endpoint has no delivery with this id, or it was forgotten some time after its end."},
	CodeNotReady:        {NotFound, "The video is not finished yet; poll the task."},
	CodeNoAccount:       {NotFound, "No such account."},
	CodeNoAPIKey:        {NotFound, "No such key."},
	CodeMethod:          {NotAllowed, "The path exists but takes other methods; see the Allow header."},
	CodeSlowBody:        {TimedOut, "The body did not arrive in time."},
	CodeVideoExpired:    {Gone, "The video's retention time is over and its file was deleted."},
	CodeTooLarge:        {TooLarge, "The body is larger than is taken; send big media by POST /v1/files."},
	CodeContentType:     {WrongType, "The Content-Type is not one that this path takes."},
	CodeFileType:        {WrongType, "The file's bytes are not a picture, video or sound that is taken, whatever its name says."},
	CodeRate:            {Limited, "This API key asked more often than it may; repeat after the seconds in Retry-After."},
	CodeInternal:        {Internal, "Our mistake. Repeat; name the request id if it goes on."},
	CodeUnavailable:     {Unavailable, "Not possible at this moment; nothing was accepted or charged. Repeat after Retry-After."},
	CodeDiskFull:        {Unavailable, "The server has no room left to keep what you send; nothing was accepted or charged."},
	CodeUnreachable:     {Invalid, "A reference could not be fetched: its host, its address or its answer was not usable."},
	CodeBadReference:    {Invalid, "A reference was fetched, but is not what the model takes (type, bytes, pixels, seconds)."},
	CodeModerated:       {Invalid, "The supplier's content inspection refused the prompt, a reference or the result."},
	CodeRefused:         {Invalid, "The supplier refused the request as it stands."},
	CodeSupplier:        {Unavailable, "The supplier failed at it, also when asked again. Create the task again later."},
	CodeUpstreamUnknown: {Unavailable, "It could not be found out whether the supplier took the task. Its hold was released."},
	CodeUpstreamLost:    {Unavailable, "The supplier no longer knows the task. Its hold was released."},
	CodeResultLost:      {Unavailable, "The supplier rendered the video but its file could not be fetched before it expired."},
	CodeExpired:         {Invalid, "The task was not submitted before its start_by time."},
	CodeRender:          {Internal, "The embedded renderer failed."},
	CodeTimedOut:        {Unavailable, "The task did not end within the time that a task may take."},
	CodeCancelled:       {Invalid, "The task was cancelled as you wished: OpenAI's dialect has no status for it but failed."},

	CodeNotDocumented:   {Invalid, "Warning: the supplier does not document this field for this model; it was sent all the same."},
	CodeSizeFromPicture: {Invalid, "Warning: the picture's shape decides the size of this model's videos."},
	CodeNoSuchCharacter: {Invalid, "Warning: the prompt names a character beyond the references."},
	CodeCancelRefused:   {Invalid, "Warning: the supplier could not stop the task; it runs on and is charged."},
	CodeResultMismatch:  {Invalid, "Warning: the video differs from what was asked in the way named."},
	CodeUnused:          {Invalid, "Warning: the value has no effect here."},
}

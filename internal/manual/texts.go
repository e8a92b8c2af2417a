package manual

import "github.com/unireel/unireel/internal/catalog"

// The pages' own labels and sentences. All other texts come from the specification and the
// model files.
var (
	labelEndpoints       = catalog.LocalizedText{EN: "Endpoints", ZH: "接口"}
	labelEndpoint        = catalog.LocalizedText{EN: "Endpoint", ZH: "接口"}
	labelOverview        = catalog.LocalizedText{EN: "Overview", ZH: "概览"}
	labelModels          = catalog.LocalizedText{EN: "Models", ZH: "模型"}
	labelModel           = catalog.LocalizedText{EN: "Model", ZH: "模型"}
	labelAuthentication  = catalog.LocalizedText{EN: "Authentication", ZH: "鉴权"}
	labelParameters      = catalog.LocalizedText{EN: "Parameters", ZH: "请求参数"}
	labelBody            = catalog.LocalizedText{EN: "Body parameters", ZH: "请求体参数"}
	labelRequests        = catalog.LocalizedText{EN: "Request examples", ZH: "请求示例"}
	labelExample         = catalog.LocalizedText{EN: "Example", ZH: "示例"}
	labelResponse        = catalog.LocalizedText{EN: "Response fields", ZH: "响应字段"}
	labelResponseExample = catalog.LocalizedText{EN: "Response example", ZH: "响应示例"}
	labelOtherResponses  = catalog.LocalizedText{EN: "Responses", ZH: "响应"}
	labelErrors          = catalog.LocalizedText{EN: "Errors", ZH: "错误"}
	labelName            = catalog.LocalizedText{EN: "Name", ZH: "名称"}
	labelField           = catalog.LocalizedText{EN: "Field", ZH: "字段"}
	labelIn              = catalog.LocalizedText{EN: "In", ZH: "位置"}
	labelType            = catalog.LocalizedText{EN: "Type", ZH: "类型"}
	labelRequired        = catalog.LocalizedText{EN: "Required", ZH: "必填"}
	labelDefault         = catalog.LocalizedText{EN: "Default", ZH: "默认值"}
	labelConstraints     = catalog.LocalizedText{EN: "Bounds", ZH: "取值范围"}
	labelDescription     = catalog.LocalizedText{EN: "Description", ZH: "说明"}
	labelCauseAndFix     = catalog.LocalizedText{EN: "Cause, and what to do", ZH: "原因与处理"}
	labelYes             = catalog.LocalizedText{EN: "Yes", ZH: "是"}
	labelNo              = catalog.LocalizedText{EN: "No", ZH: "否"}
	labelPrice           = catalog.LocalizedText{EN: "Price", ZH: "价格"}
	labelModes           = catalog.LocalizedText{EN: "Modes", ZH: "生成方式"}
	labelWebhooks        = catalog.LocalizedText{EN: "Webhooks: events, signatures, retries", ZH: "Webhook：事件、签名与重试"}
	labelEvents          = catalog.LocalizedText{EN: "Events", ZH: "事件"}
	labelEvent           = catalog.LocalizedText{EN: "Event", ZH: "事件"}
	labelYourResponse    = catalog.LocalizedText{EN: "Your response", ZH: "您的响应"}
	labelOtherStatus     = catalog.LocalizedText{EN: "other", ZH: "其他"}
	labelEventMeaning    = catalog.LocalizedText{EN: "What happened", ZH: "含义"}
	labelMedia           = catalog.LocalizedText{EN: "References", ZH: "参考素材要求"}

	textAPIKeyAuth = catalog.LocalizedText{
		EN: "Send `Authorization: Bearer` with your API key.",
		ZH: "请求头须带 `Authorization: Bearer` 和您的 API Key。",
	}
	textSignedLinkAuth = catalog.LocalizedText{
		EN: "Send `Authorization: Bearer` with your API key, or use the signed link from a task's response, which needs no key.",
		ZH: "请求头带 `Authorization: Bearer` 和您的 API Key；或直接使用任务响应中的签名链接，无需 API Key。",
	}
	textNoAuth = catalog.LocalizedText{EN: "No authentication is needed.", ZH: "无需鉴权。"}
	textErrors = catalog.LocalizedText{
		EN: "All errors have the same format: `{\"error\": {\"message\", \"type\", \"param\", \"code\", \"errors\", \"request_id\"}}`. `errors` lists everything that is wrong, in the order of the body. A rejected request is not charged.",
		ZH: "所有错误响应格式相同：`{\"error\": {\"message\", \"type\", \"param\", \"code\", \"errors\", \"request_id\"}}`。`errors` 按请求体中的顺序一次列出全部问题。被拒绝的请求不收费。",
	}
	textFlatErrors = catalog.LocalizedText{
		EN: "Errors have DashScope's format: `{\"code\", \"message\", \"request_id\"}`. `message` lists everything that is wrong, in the order of the body. A rejected request is not charged.",
		ZH: "错误响应与 DashScope 的格式相同：`{\"code\", \"message\", \"request_id\"}`。`message` 按请求体中的顺序一次列出全部问题。被拒绝的请求不收费。",
	}

	textNotEmpty  = catalog.LocalizedText{EN: "not empty", ZH: "不能为空"}
	textMinLength = catalog.LocalizedText{EN: "at least N characters", ZH: "至少 N 个字符"}
	textMaxLength = catalog.LocalizedText{EN: "at most N characters", ZH: "最多 N 个字符"}
	textMinItems  = catalog.LocalizedText{EN: "at least N entries", ZH: "至少 N 项"}
	textMaxItems  = catalog.LocalizedText{EN: "at most N entries", ZH: "最多 N 项"}
	textMaxPairs  = catalog.LocalizedText{EN: "at most N pairs", ZH: "最多 N 对"}
	colon         = catalog.LocalizedText{EN: ": ", ZH: "："}
	listSeparator = catalog.LocalizedText{EN: "; ", ZH: "；"}
)

// The labels and sentences of the models' pages.
var (
	labelFamily     = catalog.LocalizedText{EN: "Family name", ZH: "系列名"}
	labelGuideAudio = catalog.LocalizedText{EN: "Guide audio", ZH: "引导音频"}
	labelKind       = catalog.LocalizedText{EN: "Kind", ZH: "类别"}
	labelFormats    = catalog.LocalizedText{EN: "Formats", ZH: "格式"}
	labelNone       = catalog.LocalizedText{EN: "none", ZH: "无"}

	textPerSecond        = catalog.LocalizedText{EN: "%v %s per second", ZH: "%v %s/秒"}
	textReferences       = catalog.LocalizedText{EN: "%d to %d in total: at most %d pictures, at most %d videos", ZH: "共 %d 至 %d 个，其中图片最多 %d 张、视频最多 %d 个"}
	textOneImage         = catalog.LocalizedText{EN: "one picture, in `image`", ZH: "一张图片，填入 `image`"}
	textSeconds          = catalog.LocalizedText{EN: "%d – %d seconds", ZH: "%d – %d 秒"}
	textSecondsWithVideo = catalog.LocalizedText{EN: "; at most %d with a reference video", ZH: "；有参考视频时最多 %d 秒"}
	textSecondsTogether  = catalog.LocalizedText{EN: "; at most %d including the reference videos", ZH: "；与参考视频合计最多 %d 秒"}
	textSizeFromImage    = catalog.LocalizedText{EN: "; with `image` the picture's shape is used", ZH: "；使用 `image` 时画面比例以图片为准"}
	textMegabytes        = catalog.LocalizedText{EN: "at most %d MiB", ZH: "最大 %d MiB"}
	textPixels           = catalog.LocalizedText{EN: "width and height %d – %d pixels each", ZH: "宽、高均为 %d – %d 像素"}
	textTotalSeconds     = catalog.LocalizedText{EN: "at most %d seconds in total", ZH: "合计最多 %d 秒"}
	textMinFPS           = catalog.LocalizedText{EN: "at least %d frames per second", ZH: "帧率至少 %d fps"}
	textNoAlpha          = catalog.LocalizedText{EN: "no transparency", ZH: "不支持透明通道"}
	textAllFields        = catalog.LocalizedText{EN: "All fields: %s", ZH: "全部字段见：%s"}
	textResponse         = catalog.LocalizedText{
		EN: "The response is the task. For its fields, the errors and how to wait for the video see: %s",
		ZH: "响应为任务对象。响应字段、错误码与等待视频的方法见：%s",
	}
)

func modeText(m catalog.Mode) catalog.LocalizedText {
	switch m {
	case catalog.R2V:
		return catalog.LocalizedText{EN: "References (R2V)", ZH: "参考生视频（R2V）"}
	case catalog.I2V:
		return catalog.LocalizedText{EN: "A picture (I2V)", ZH: "图生视频（I2V）"}
	}

	return catalog.LocalizedText{EN: "Prompt only (T2V)", ZH: "文生视频（T2V）"}
}

func samplePrompt(m catalog.Mode) catalog.LocalizedText {
	switch m {
	case catalog.R2V:
		return catalog.LocalizedText{EN: "character1 walks along the sea at dawn", ZH: "character1 在黎明的海边散步"}
	case catalog.I2V:
		return catalog.LocalizedText{EN: "the camera moves slowly closer", ZH: "镜头缓缓推近"}
	}

	return catalog.LocalizedText{EN: "waves roll onto a beach at dawn", ZH: "黎明时分，海浪涌上沙滩"}
}

func guideAudioText(g catalog.GuideAudio) catalog.LocalizedText {
	switch g {
	case catalog.GuideAudioDocumented:
		return catalog.LocalizedText{EN: "accepted", ZH: "支持"}
	case catalog.GuideAudioUndocumented:
		return catalog.LocalizedText{EN: "sent, with a warning: the supplier does not document it", ZH: "会转发并附警告：供应商文档未载明"}
	}

	return catalog.LocalizedText{EN: "not accepted", ZH: "不支持"}
}

func soundText(sound bool) catalog.LocalizedText {
	if sound {
		return catalog.LocalizedText{EN: "The video has sound.", ZH: "生成的视频有声音。"}
	}

	return catalog.LocalizedText{EN: "The video is silent.", ZH: "生成的视频无声音。"}
}

func kindText(k catalog.Kind) catalog.LocalizedText {
	switch k {
	case catalog.Image:
		return catalog.LocalizedText{EN: "picture", ZH: "图片"}
	case catalog.Video:
		return catalog.LocalizedText{EN: "video", ZH: "视频"}
	}

	return catalog.LocalizedText{EN: "guide audio", ZH: "引导音频"}
}

// billingText describes a billing rule; see catalog.Billing.
func billingText(b catalog.Billing) catalog.LocalizedText {
	switch b {
	case catalog.BillInputOutput:
		return catalog.LocalizedText{
			EN: "The seconds of the video and of its reference videos are billed; of each reference video at most 5 s (with one reference), 2.5 s (two), 1.65 s (three), 1.25 s (four) or 1 s (five). Pictures count as references and cost nothing. The maximum price is held when the task is created; a failed or cancelled task costs nothing.",
			ZH: "按生成视频的秒数加参考视频的秒数计费；每个参考视频最多计 5 秒（共一个参考素材时）、2.5 秒（两个）、1.65 秒（三个）、1.25 秒（四个）或 1 秒（五个）；图片计入参考素材数量，但不收费。创建时按最高费用冻结额度；失败或取消的任务不收费。",
		}
	case catalog.BillFullInputOutput:
		return catalog.LocalizedText{
			EN: "The seconds of the video and all seconds of its reference videos are billed; of the reference videos at most 15 s in total. The maximum price is held when the task is created; a failed or cancelled task costs nothing.",
			ZH: "按生成视频的秒数加全部参考视频的秒数计费，参考视频合计最多计 15 秒。创建时按最高费用冻结额度；失败或取消的任务不收费。",
		}
	}

	return catalog.LocalizedText{
		EN: "The seconds of the video are billed. The maximum price is held when the task is created; a failed or cancelled task costs nothing.",
		ZH: "按生成视频的秒数计费。创建时按最高费用冻结额度；失败或取消的任务不收费。",
	}
}

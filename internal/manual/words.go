package manual

import "github.com/unireel/unireel/internal/catalog"

// What the pages say by themselves. All else is the spec's and the model files'.
var (
	wordEndpoints      = catalog.Text{EN: "Endpoints", ZH: "接口"}
	wordEndpoint       = catalog.Text{EN: "Endpoint", ZH: "接口"}
	wordOverview       = catalog.Text{EN: "Overview", ZH: "概览"}
	wordModels         = catalog.Text{EN: "Models", ZH: "模型"}
	wordModel          = catalog.Text{EN: "Model", ZH: "模型"}
	wordAuthentication = catalog.Text{EN: "Authentication", ZH: "鉴权"}
	wordParameters     = catalog.Text{EN: "Parameters", ZH: "请求参数"}
	wordBody           = catalog.Text{EN: "Body parameters", ZH: "请求体参数"}
	wordRequests       = catalog.Text{EN: "Request examples", ZH: "请求示例"}
	wordExample        = catalog.Text{EN: "Example", ZH: "示例"}
	wordAnswer         = catalog.Text{EN: "Response fields", ZH: "响应字段"}
	wordAnswerExample  = catalog.Text{EN: "Response example", ZH: "响应示例"}
	wordOtherAnswers   = catalog.Text{EN: "Responses", ZH: "响应"}
	wordErrors         = catalog.Text{EN: "Errors", ZH: "错误"}
	wordName           = catalog.Text{EN: "Name", ZH: "名称"}
	wordField          = catalog.Text{EN: "Field", ZH: "字段"}
	wordPlace          = catalog.Text{EN: "In", ZH: "位置"}
	wordType           = catalog.Text{EN: "Type", ZH: "类型"}
	wordRequired       = catalog.Text{EN: "Required", ZH: "必填"}
	wordDefault        = catalog.Text{EN: "Default", ZH: "默认值"}
	wordBounds         = catalog.Text{EN: "Bounds", ZH: "取值范围"}
	wordDescription    = catalog.Text{EN: "Description", ZH: "说明"}
	wordWhen           = catalog.Text{EN: "When, and what to do", ZH: "原因与处理"}
	wordYes            = catalog.Text{EN: "Yes", ZH: "是"}
	wordNo             = catalog.Text{EN: "No", ZH: "否"}
	wordPrice          = catalog.Text{EN: "Price", ZH: "价格"}
	wordModes          = catalog.Text{EN: "What it makes a video from", ZH: "生成方式"}
	wordWebhooks       = catalog.Text{EN: "Webhooks: events, signatures, retries", ZH: "Webhook：事件、签名与重试"}
	wordEvents         = catalog.Text{EN: "Events", ZH: "事件"}
	wordEvent          = catalog.Text{EN: "Event", ZH: "事件"}
	wordYourAnswer     = catalog.Text{EN: "Your answer", ZH: "您的响应"}
	wordElse           = catalog.Text{EN: "else", ZH: "其他"}
	wordHappened       = catalog.Text{EN: "What happened", ZH: "含义"}
	wordMedia          = catalog.Text{EN: "References", ZH: "参考素材要求"}

	sayKey = catalog.Text{
		EN: "Send `Authorization: Bearer` with your API key.",
		ZH: "请求头须带 `Authorization: Bearer` 和您的 API Key。",
	}
	sayLink = catalog.Text{
		EN: "Send `Authorization: Bearer` with your API key, or use the signed link from a task's answer, which needs no key.",
		ZH: "请求头带 `Authorization: Bearer` 和您的 API Key；或直接使用任务响应中的签名链接，无需 API Key。",
	}
	sayOpen   = catalog.Text{EN: "None is needed.", ZH: "无需鉴权。"}
	sayErrors = catalog.Text{
		EN: "Refusals have one shape: `{\"error\": {\"message\", \"type\", \"param\", \"code\", \"errors\", \"request_id\"}}`. `errors` names everything that is wrong, in the order of the body. Nothing of what is refused is charged.",
		ZH: "所有错误响应格式相同：`{\"error\": {\"message\", \"type\", \"param\", \"code\", \"errors\", \"request_id\"}}`。`errors` 按请求体中的顺序一次列出全部问题。被拒绝的请求不收费。",
	}
	sayFlatErrors = catalog.Text{
		EN: "Refusals have DashScope's shape: `{\"code\", \"message\", \"request_id\"}`. `message` names everything that is wrong, in the order of the body. Nothing of what is refused is charged.",
		ZH: "错误响应与 DashScope 的格式相同：`{\"code\", \"message\", \"request_id\"}`。`message` 按请求体中的顺序一次列出全部问题。被拒绝的请求不收费。",
	}

	sayNotEmpty  = catalog.Text{EN: "not empty", ZH: "不能为空"}
	sayMinLength = catalog.Text{EN: "at least N characters", ZH: "至少 N 个字符"}
	sayMaxLength = catalog.Text{EN: "at most N characters", ZH: "最多 N 个字符"}
	sayMinItems  = catalog.Text{EN: "at least N entries", ZH: "至少 N 项"}
	sayMaxItems  = catalog.Text{EN: "at most N entries", ZH: "最多 N 项"}
	sayMaxPairs  = catalog.Text{EN: "at most N pairs", ZH: "最多 N 对"}
	sayColon     = catalog.Text{EN: ": ", ZH: "："}
	sayAnd       = catalog.Text{EN: "; ", ZH: "；"}
)

// What the models' pages say.
var (
	wordFamily  = catalog.Text{EN: "Family name", ZH: "系列名"}
	wordAudio   = catalog.Text{EN: "Guide audio", ZH: "引导音频"}
	wordKind    = catalog.Text{EN: "Kind", ZH: "类别"}
	wordFormats = catalog.Text{EN: "Formats", ZH: "格式"}
	wordNone    = catalog.Text{EN: "none", ZH: "无"}

	sayPerSecond  = catalog.Text{EN: "%v %s per second", ZH: "%v %s/秒"}
	sayReferences = catalog.Text{EN: "%d to %d in all: at most %d pictures, at most %d videos", ZH: "共 %d 至 %d 个，其中图片最多 %d 张、视频最多 %d 个"}
	sayOnePicture = catalog.Text{EN: "one picture, in `image`", ZH: "一张图片，填入 `image`"}
	saySeconds    = catalog.Text{EN: "%d – %d seconds", ZH: "%d – %d 秒"}
	sayWithVideo  = catalog.Text{EN: "; at most %d with a reference video", ZH: "；有参考视频时最多 %d 秒"}
	sayTogether   = catalog.Text{EN: "; at most %d together with the reference videos", ZH: "；与参考视频合计最多 %d 秒"}
	sayShape      = catalog.Text{EN: "; with `image` the picture's shape decides", ZH: "；使用 `image` 时画面比例以图片为准"}
	sayMegabytes  = catalog.Text{EN: "at most %d MiB", ZH: "最大 %d MiB"}
	sayPixels     = catalog.Text{EN: "width and height %d – %d pixels each", ZH: "宽、高均为 %d – %d 像素"}
	sayTotal      = catalog.Text{EN: "all together at most %d seconds", ZH: "合计最多 %d 秒"}
	sayFrames     = catalog.Text{EN: "at least %d frames per second", ZH: "帧率至少 %d fps"}
	sayNoAlpha    = catalog.Text{EN: "no transparency", ZH: "不支持透明通道"}
	sayAllFields  = catalog.Text{EN: "All fields: %s", ZH: "全部字段见：%s"}
	sayAnswer     = catalog.Text{
		EN: "The answer is the task. Its fields, the errors and how to wait for the video: %s",
		ZH: "响应为任务对象。响应字段、错误码与等待视频的方法见：%s",
	}
)

func sayMode(m catalog.Mode) catalog.Text {
	switch m {
	case catalog.R2V:
		return catalog.Text{EN: "References (R2V)", ZH: "参考生视频（R2V）"}
	case catalog.I2V:
		return catalog.Text{EN: "A picture (I2V)", ZH: "图生视频（I2V）"}
	}

	return catalog.Text{EN: "Words alone (T2V)", ZH: "文生视频（T2V）"}
}

func samplePrompt(m catalog.Mode) catalog.Text {
	switch m {
	case catalog.R2V:
		return catalog.Text{EN: "character1 walks along the sea at dawn", ZH: "character1 在黎明的海边散步"}
	case catalog.I2V:
		return catalog.Text{EN: "the camera moves slowly closer", ZH: "镜头缓缓推近"}
	}

	return catalog.Text{EN: "waves roll onto a beach at dawn", ZH: "黎明时分，海浪涌上沙滩"}
}

func sayGuide(g catalog.GuideAudio) catalog.Text {
	switch g {
	case catalog.AudioDocumented:
		return catalog.Text{EN: "taken", ZH: "支持"}
	case catalog.AudioUndocumented:
		return catalog.Text{EN: "sent, with a warning: the supplier does not document it", ZH: "会转发并附警告：供应商文档未载明"}
	}

	return catalog.Text{EN: "refused", ZH: "不支持"}
}

func saySound(sound bool) catalog.Text {
	if sound {
		return catalog.Text{EN: "The video has sound.", ZH: "生成的视频有声音。"}
	}

	return catalog.Text{EN: "The video is silent.", ZH: "生成的视频无声音。"}
}

func sayKind(k catalog.Kind) catalog.Text {
	switch k {
	case catalog.Image:
		return catalog.Text{EN: "picture", ZH: "图片"}
	case catalog.Video:
		return catalog.Text{EN: "video", ZH: "视频"}
	}

	return catalog.Text{EN: "guide audio", ZH: "引导音频"}
}

// sayBilling is the rule of what is billed, as catalog.Billing counts.
func sayBilling(b catalog.Billing) catalog.Text {
	switch b {
	case catalog.BillInputOutput:
		return catalog.Text{
			EN: "Billed are the seconds of the video and those of its reference videos, of each at most 5 s (one reference), 2.5 s (two), 1.65 s (three), 1.25 s (four) or 1 s (five); pictures count as references and cost nothing. The most that it can cost is held at the start; a failed or cancelled task costs nothing.",
			ZH: "按生成视频的秒数加参考视频的秒数计费；每个参考视频最多计 5 秒（共一个参考素材时）、2.5 秒（两个）、1.65 秒（三个）、1.25 秒（四个）或 1 秒（五个）；图片计入参考素材数量，但不收费。创建时按最高费用冻结额度；失败或取消的任务不收费。",
		}
	case catalog.BillWhole:
		return catalog.Text{
			EN: "Billed are the seconds of the video and all those of its reference videos, at most 15 of them. The most that it can cost is held at the start; a failed or cancelled task costs nothing.",
			ZH: "按生成视频的秒数加全部参考视频的秒数计费，参考视频合计最多计 15 秒。创建时按最高费用冻结额度；失败或取消的任务不收费。",
		}
	}

	return catalog.Text{
		EN: "Billed are the seconds of the video. The most that it can cost is held at the start; a failed or cancelled task costs nothing.",
		ZH: "按生成视频的秒数计费。创建时按最高费用冻结额度；失败或取消的任务不收费。",
	}
}

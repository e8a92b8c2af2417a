// Package config holds every option of Unireel in one struct. Only this package reads the
// environment and the configuration file. Flags override environment variables
// (UNIREEL_*), which override unireel.yaml, which overrides the defaults. Package cli
// fills the struct from the command line, and app builds the program from it; other
// packages get small option structs of their own. Package config never starts, opens or
// dials anything.
package config

import (
	"cmp"
	"time"
)

// Config is the configuration of one Unireel process. Load or kong fills it; Validate
// checks it.
type Config struct {
	File     string `name:"config" env:"UNIREEL_CONFIG" placeholder:"FILE" type:"path" group:"Where" help:"The configuration file. Default: the first that exists of ./unireel.yaml, unireel.yaml in the data folder and /etc/unireel/unireel.yaml."`
	Data     string `name:"data" env:"UNIREEL_DATA" placeholder:"DIR" type:"path" group:"Where" help:"The data folder: database, videos, files, socket, profile. Default: $$XDG_DATA_HOME/unireel or ~/.local/share/unireel; on macOS ~/Library/Application Support/unireel."`
	Database Secret `name:"database" env:"UNIREEL_DATABASE" placeholder:"URL" group:"Where" help:"A PostgreSQL database to use instead of the SQLite file in the data folder, postgres://user:password@host:5432/name. Any number of servers may share it, each with its own data folder. Run \"unireel migrate\" before the first start and before each upgrade."`

	Addr          string        `name:"addr" env:"UNIREEL_ADDR" default:"127.0.0.1:8080" placeholder:"HOST:PORT" group:"HTTP" help:"The address on which the API listens. Port 0 chooses a free port."`
	PublicURL     string        `name:"public-url" env:"UNIREEL_PUBLIC_URL" placeholder:"URL" group:"HTTP" help:"The URL at which customers reach this server, used in links to videos. Default: the Host of each request."`
	CORSOrigins   []string      `name:"cors-origins" env:"UNIREEL_CORS_ORIGINS" default:"*" placeholder:"ORIGIN,..." group:"HTTP" help:"Web origins whose pages may call the API with a key. * allows all origins; none allows no origin."`
	MaxUpload     Bytes         `name:"max-upload" env:"UNIREEL_MAX_UPLOAD" default:"512MiB" placeholder:"BYTES" group:"HTTP" help:"The largest file that POST /v1/files accepts."`
	RateCreate    string        `name:"rate-create" env:"UNIREEL_RATE_CREATE" placeholder:"N/TIME" group:"HTTP" help:"The highest rate at which one API key may create videos on this server, such as 10/s or 600/m, unless the key has a rate of its own. Default: no limit."`
	RateRead      string        `name:"rate-read" env:"UNIREEL_RATE_READ" placeholder:"N/TIME" group:"HTTP" help:"The same for all other requests of a key. A long poll counts as one."`
	Metrics       bool          `name:"metrics" env:"UNIREEL_METRICS" default:"true" negatable:"" group:"HTTP" help:"Serve /metrics for Prometheus."`
	Admin         bool          `name:"admin" env:"UNIREEL_ADMIN" default:"true" negatable:"" group:"HTTP" help:"Serve the operator's endpoints (/admin/v1) to API keys with the scope admin. No such key exists until you create one. If this is off, the endpoints are served only on the data folder's socket."`
	ShutdownGrace time.Duration `name:"shutdown-grace" env:"UNIREEL_SHUTDOWN_GRACE" default:"15s" placeholder:"TIME" group:"HTTP" help:"How long open requests may take to finish after SIGTERM. Tasks continue at the next start."`
	LogLevel      string        `name:"log-level" env:"UNIREEL_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" group:"HTTP" help:"The lowest level that is logged: debug, info, warn or error."`
	LogFormat     string        `name:"log-format" env:"UNIREEL_LOG_FORMAT" default:"text" enum:"text,json" group:"HTTP" help:"The format of the log: text or json."`

	BootstrapKey    Secret `name:"bootstrap-key" env:"UNIREEL_BOOTSTRAP_KEY" placeholder:"KEY" group:"Money" help:"The value of the first API key, for scripts; at least 16 characters. Used only if there is no account yet. Default: a random key, shown once."`
	BootstrapCredit string `name:"bootstrap-credit" env:"UNIREEL_BOOTSTRAP_CREDIT" default:"100.00" placeholder:"AMOUNT" group:"Money" help:"The credit of the first account."`
	Currency        string `name:"currency" env:"UNIREEL_CURRENCY" default:"USD" placeholder:"CODE" group:"Money" help:"The currency of all amounts, fixed at the first start."`
	Markup          string `name:"markup" env:"UNIREEL_MARKUP" default:"1" placeholder:"FACTOR" group:"Money" help:"The factor by which every list price is multiplied, a decimal: 1.2 adds a fifth."`
	PriceTable      string `name:"price-table" env:"UNIREEL_PRICE_TABLE" placeholder:"FILE" type:"path" group:"Money" help:"A YAML file with your own prices per second by model id, used instead of the list prices."`

	Models           string        `name:"models" env:"UNIREEL_MODELS" placeholder:"DIR" type:"path" group:"Tasks" help:"A folder with additional model files (*.yaml)."`
	Retention        time.Duration `name:"retention" env:"UNIREEL_RETENTION" default:"720h" placeholder:"TIME" group:"Tasks" help:"How long a video is kept after the end of its task."`
	FileRetention    time.Duration `name:"file-retention" env:"UNIREEL_FILE_RETENTION" default:"720h" placeholder:"TIME" group:"Tasks" help:"How long an uploaded file is kept."`
	History          time.Duration `name:"history" env:"UNIREEL_HISTORY" default:"2160h" placeholder:"TIME" group:"Tasks" help:"How long a task's events, attempts and request are kept after its end. The task itself and its cost are kept."`
	TaskTimeout      time.Duration `name:"task-timeout" env:"UNIREEL_TASK_TIMEOUT" default:"24h" placeholder:"TIME" group:"Tasks" help:"How long a task may take from its submission. After that it fails and costs nothing."`
	SubmitsPerSecond float64       `name:"submits-per-second" env:"UNIREEL_SUBMITS_PER_SECOND" default:"5" placeholder:"N" group:"Tasks" help:"Submissions per second that a supplier account accepts for one model."`
	InProgress       int           `name:"in-progress" env:"UNIREEL_IN_PROGRESS" default:"5" placeholder:"N" group:"Tasks" help:"Tasks that a supplier account accepts for one model at the same time."`
	QueriesPerSecond float64       `name:"queries-per-second" env:"UNIREEL_QUERIES_PER_SECOND" default:"20" placeholder:"N" group:"Tasks" help:"Status queries per second that a supplier account accepts."`

	FetchAllow []AllowedNetwork `name:"fetch-allow" env:"UNIREEL_FETCH_ALLOW" placeholder:"CIDR[:PORT]" group:"References" help:"A private network from which references may be fetched, such as a studio's NAS: 192.168.7.0/24 or 10.0.0.8/32:9000. May be repeated."`
	FetchMap   []Mapping        `name:"fetch-map" env:"UNIREEL_FETCH_MAP" placeholder:"PREFIX=DIR" group:"References" help:"Read references whose URL begins with PREFIX from the folder DIR. May be repeated."`

	Renders int    `name:"renders" env:"UNIREEL_RENDERS" default:"2" placeholder:"N" group:"Previews" help:"Videos that the embedded provider animatic renders at the same time."`
	FFmpeg  string `name:"ffmpeg" env:"UNIREEL_FFMPEG" default:"ffmpeg" placeholder:"PATH" group:"Previews" help:"The ffmpeg program; ffprobe is expected next to it."`
	Font    string `name:"font" env:"UNIREEL_FONT" placeholder:"FILE" type:"path" group:"Previews" help:"The font of title cards and captions. Default: the first font found with Chinese characters."`

	Blob Bucket `name:"blob" env:"UNIREEL_BLOB" placeholder:"s3://BUCKET[/PREFIX]" group:"Blobs" help:"The bucket of an S3 store in which videos and files are kept: s3://BUCKET, or s3://BUCKET/PREFIX to share the bucket with others. The bucket must exist. Default: the folder blobs in the data folder."`
	S3   S3     `embed:"" prefix:"s3-" group:"Blobs"`

	DashScope DashScope `embed:"" prefix:"dashscope-" group:"DashScope"`

	// Upstreams are the configured accounts at suppliers: those in the file's list
	// upstreams, and one named dashscope if a DashScope key is set.
	Upstreams []Upstream `kong:"-"`
}

// DashScope configures a single DashScope account without a list of upstreams.
type DashScope struct {
	APIKey    Secret `name:"api-key" env:"UNIREEL_DASHSCOPE_API_KEY,DASHSCOPE_API_KEY" placeholder:"KEY" group:"DashScope" help:"The DashScope API key. With it DashScope renders the Wan models; without it animatic renders previews of them. Set it in the environment rather than as a flag."`
	Region    string `name:"region" env:"UNIREEL_DASHSCOPE_REGION" default:"ap-southeast-1" enum:"ap-southeast-1,cn-beijing,us-east-1,eu-central-1,cn-hongkong,ap-northeast-1" placeholder:"REGION" group:"DashScope" help:"The key's region: ap-southeast-1 (Singapore), cn-beijing, us-east-1 (Virginia), eu-central-1 (Frankfurt), cn-hongkong or ap-northeast-1 (Tokyo). A key works only in its own region."`
	Workspace string `name:"workspace" env:"UNIREEL_DASHSCOPE_WORKSPACE" placeholder:"ID" group:"DashScope" help:"The key's workspace id. With it the workspace's own host is used. Required in eu-central-1, cn-hongkong and ap-northeast-1."`
	BaseURL   string `name:"base-url" env:"UNIREEL_DASHSCOPE_BASE_URL" placeholder:"URL" group:"DashScope" help:"DashScope's address, without /api/v1, or that of a simulator. Default: the region's address."`
}

// S3 says how to reach the store of Config.Blob.
type S3 struct {
	Endpoint   string `name:"endpoint" env:"UNIREEL_S3_ENDPOINT" placeholder:"URL" group:"Blobs" help:"The address of the S3 store, such as https://minio.example.com:9000; with http:// the connection is not encrypted. Default: Amazon."`
	Region     string `name:"region" env:"UNIREEL_S3_REGION" placeholder:"REGION" group:"Blobs" help:"The bucket's region. Default: the one that the store reports."`
	AccessKey  string `name:"access-key" env:"UNIREEL_S3_ACCESS_KEY,AWS_ACCESS_KEY_ID" placeholder:"ID" group:"Blobs" help:"The access key. It must be allowed to list the bucket, to read, write and delete objects, and to list and abort uploads in parts."`
	SecretKey  Secret `name:"secret-key" env:"UNIREEL_S3_SECRET_KEY,AWS_SECRET_ACCESS_KEY" placeholder:"SECRET" group:"Blobs" help:"The access key's secret. Set it in the environment rather than as a flag."`
	Addressing string `name:"addressing" env:"UNIREEL_S3_ADDRESSING" default:"auto" enum:"auto,path,host" placeholder:"HOW" group:"Blobs" help:"The position of the bucket's name in URLs: path (endpoint/bucket), host (bucket.endpoint) or auto, which means host at the large clouds and path elsewhere."`
	Presign    bool   `name:"presign" env:"UNIREEL_S3_PRESIGN" negatable:"" group:"Blobs" help:"Redirect downloads of videos to the store with a signed link, valid for 15 minutes, so that the bytes do not pass through this server. Customers must be able to reach the endpoint. Default: this server sends the bytes."`
}

// Upstream is one configured account at a supplier.
type Upstream struct {
	Name     string            // unique name, chosen by the operator
	Provider string            // the kind of supplier, "dashscope"
	BaseURL  string            // http(s), no trailing slash, no API path
	APIKey   Secret            // resolved from api_key, api_key_env or api_key_file
	KeyEnv   string            // the environment variable that held the key, if any
	Region   string            // the supplier's name of the region; it determines BaseURL
	Settings map[string]string // settings that only the provider understands, such as workspace
	Models   []string          // the supplier's models that may be used; empty means all
	Limits   Limits
	Order    int     // 1 is tried first; higher orders get what lower ones cannot accept
	Weight   int     // its share among upstreams of the same order, at least 1
	Routes   []Route // which of Unireel's models it serves; empty means all that the model files list for its provider
	Source   string  // where to fix it: "unireel.yaml:12", or the command that added it
}

// Route configures how one upstream serves some of Unireel's models. For fields that are
// left out, the values of the upstream and of the model files apply.
type Route struct {
	Models        []string `yaml:"models"`         // ids and family names; empty means all
	SupplierModel string   `yaml:"supplier_model"` // the supplier's name of the model
	Order         int      `yaml:"order"`
	Weight        int      `yaml:"weight"`
	Sizes         []string `yaml:"sizes"`   // the only sizes that it can serve, such as "1280*720"
	Seconds       []int    `yaml:"seconds"` // the only lengths that it can serve
	PromptMax     int      `yaml:"prompt_max"`
	Images        *int     `yaml:"images"` // at most
	Videos        *int     `yaml:"videos"` // at most
	References    int      `yaml:"references"`
	Unsupported   []string `yaml:"unsupported"` // features that it cannot serve: see docs/config.md
}

// Limits are the limits of a supplier account for one model.
type Limits struct {
	SubmitsPerSecond float64
	InProgress       int
	QueriesPerSecond float64 // of the account, for all models together
}

// defaultLimits returns the limits of upstreams that have no limits of their own.
func (c *Config) defaultLimits() Limits {
	return Limits{SubmitsPerSecond: c.SubmitsPerSecond, InProgress: c.InProgress, QueriesPerSecond: c.QueriesPerSecond}
}

// withDefaults replaces limits that are not set by those of defaults.
func (l Limits) withDefaults(defaults Limits) Limits {
	return Limits{
		SubmitsPerSecond: cmp.Or(l.SubmitsPerSecond, defaults.SubmitsPerSecond),
		InProgress:       cmp.Or(l.InProgress, defaults.InProgress),
		QueriesPerSecond: cmp.Or(l.QueriesPerSecond, defaults.QueriesPerSecond),
	}
}

// Package config is every knob of Unireel in one struct, and the only place that
// reads the environment and the configuration file: flags stand above the
// environment (UNIREEL_*), which stands above unireel.yaml, which stands above
// the defaults. cli fills it from the command line, app builds the house from
// it; the rooms get small option structs and never see it. It never starts,
// opens or dials anything.
package config

import (
	"cmp"
	"time"
)

// Config is how one process of Unireel is set up. Load or kong fills it;
// Validate says what is wrong with it.
type Config struct {
	File     string `name:"config" env:"UNIREEL_CONFIG" placeholder:"FILE" type:"path" group:"Where" help:"The configuration file. Without it the first that exists is read: ./unireel.yaml, unireel.yaml in the data folder, /etc/unireel/unireel.yaml."`
	Data     string `name:"data" env:"UNIREEL_DATA" placeholder:"DIR" type:"path" group:"Where" help:"The data folder: database, videos, files, socket, profile. Default: $$XDG_DATA_HOME/unireel or ~/.local/share/unireel; on macOS ~/Library/Application Support/unireel."`
	Database Secret `name:"database" env:"UNIREEL_DATABASE" placeholder:"URL" group:"Where" help:"A PostgreSQL database in place of the SQLite file in the data folder, postgres://user:password@host:5432/name. Any number of servers may share it, each with its own data folder. Run \"unireel migrate\" before the first start and before each upgrade."`

	Addr          string        `name:"addr" env:"UNIREEL_ADDR" default:"127.0.0.1:8080" placeholder:"HOST:PORT" group:"HTTP" help:"Where the API listens. Port 0 takes a free one."`
	PublicURL     string        `name:"public-url" env:"UNIREEL_PUBLIC_URL" placeholder:"URL" group:"HTTP" help:"How customers reach this server, used in the links of videos. Default: the Host of each request."`
	CORSOrigins   []string      `name:"cors-origins" env:"UNIREEL_CORS_ORIGINS" default:"*" placeholder:"ORIGIN,..." group:"HTTP" help:"Web origins whose pages may call the API with a key. * is all; none switches it off."`
	MaxUpload     Bytes         `name:"max-upload" env:"UNIREEL_MAX_UPLOAD" default:"512MiB" placeholder:"BYTES" group:"HTTP" help:"The largest file that POST /v1/files takes."`
	RateCreate    string        `name:"rate-create" env:"UNIREEL_RATE_CREATE" placeholder:"N/TIME" group:"HTTP" help:"The most orders for videos that one API key may send to this server, such as 10/s or 600/m, unless the key has a rate of its own. Default: no bound."`
	RateRead      string        `name:"rate-read" env:"UNIREEL_RATE_READ" placeholder:"N/TIME" group:"HTTP" help:"The same for all other requests of a key. A long poll counts as one."`
	Metrics       bool          `name:"metrics" env:"UNIREEL_METRICS" default:"true" negatable:"" group:"HTTP" help:"Serve /metrics for Prometheus."`
	Admin         bool          `name:"admin" env:"UNIREEL_ADMIN" default:"true" negatable:"" group:"HTTP" help:"Serve the operator's endpoints (/admin/v1) to API keys of the scope admin. Nobody has one until you make one. Without it they are served on the data folder's socket only."`
	ShutdownGrace time.Duration `name:"shutdown-grace" env:"UNIREEL_SHUTDOWN_GRACE" default:"15s" placeholder:"TIME" group:"HTTP" help:"How long open requests may take to end after SIGTERM. Tasks go on at the next start."`
	LogLevel      string        `name:"log-level" env:"UNIREEL_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" group:"HTTP" help:"The least important lines that are logged: debug, info, warn or error."`
	LogFormat     string        `name:"log-format" env:"UNIREEL_LOG_FORMAT" default:"text" enum:"text,json" group:"HTTP" help:"How lines are logged: text or json."`

	BootstrapKey    Secret `name:"bootstrap-key" env:"UNIREEL_BOOTSTRAP_KEY" placeholder:"KEY" group:"Money" help:"The first API key's value, for scripts; at least 16 characters. Used only when there is no account yet. Default: a random one, shown once."`
	BootstrapCredit string `name:"bootstrap-credit" env:"UNIREEL_BOOTSTRAP_CREDIT" default:"100.00" placeholder:"AMOUNT" group:"Money" help:"The credit that the first account starts with."`
	Currency        string `name:"currency" env:"UNIREEL_CURRENCY" default:"USD" placeholder:"CODE" group:"Money" help:"The currency of all amounts, fixed at the first start."`
	Markup          string `name:"markup" env:"UNIREEL_MARKUP" default:"1" placeholder:"FACTOR" group:"Money" help:"What every list price is multiplied by, a decimal: 1.2 adds a fifth."`
	PriceTable      string `name:"price-table" env:"UNIREEL_PRICE_TABLE" placeholder:"FILE" type:"path" group:"Money" help:"A YAML file of your own prices per second by model id, in place of the list prices."`

	Models           string        `name:"models" env:"UNIREEL_MODELS" placeholder:"DIR" type:"path" group:"Tasks" help:"A folder of further model files (*.yaml), beside those that ship with the program."`
	Retention        time.Duration `name:"retention" env:"UNIREEL_RETENTION" default:"720h" placeholder:"TIME" group:"Tasks" help:"How long videos are kept after their task ended."`
	FileRetention    time.Duration `name:"file-retention" env:"UNIREEL_FILE_RETENTION" default:"720h" placeholder:"TIME" group:"Tasks" help:"How long uploaded files are kept after their upload."`
	History          time.Duration `name:"history" env:"UNIREEL_HISTORY" default:"2160h" placeholder:"TIME" group:"Tasks" help:"How long a task's events, attempts and request are kept after its end. The task and what it cost stay."`
	TaskTimeout      time.Duration `name:"task-timeout" env:"UNIREEL_TASK_TIMEOUT" default:"24h" placeholder:"TIME" group:"Tasks" help:"How long a task may take from its submission before it is given up, free of charge."`
	SubmitsPerSecond float64       `name:"submits-per-second" env:"UNIREEL_SUBMITS_PER_SECOND" default:"5" placeholder:"N" group:"Tasks" help:"Submissions a second that a supplier account takes for one model."`
	InProgress       int           `name:"in-progress" env:"UNIREEL_IN_PROGRESS" default:"5" placeholder:"N" group:"Tasks" help:"Tasks in progress at once that a supplier account takes for one model."`
	QueriesPerSecond float64       `name:"queries-per-second" env:"UNIREEL_QUERIES_PER_SECOND" default:"20" placeholder:"N" group:"Tasks" help:"Status queries a second that a supplier account takes."`

	FetchAllow []Allow   `name:"fetch-allow" env:"UNIREEL_FETCH_ALLOW" placeholder:"CIDR[:PORT]" group:"References" help:"A private network whose addresses references may come from, such as a studio's NAS: 192.168.7.0/24 or 10.0.0.8/32:9000. May be repeated."`
	FetchMap   []Mapping `name:"fetch-map" env:"UNIREEL_FETCH_MAP" placeholder:"PREFIX=DIR" group:"References" help:"Serve references whose URL begins with PREFIX from the folder DIR. May be repeated."`

	Renders int    `name:"renders" env:"UNIREEL_RENDERS" default:"2" placeholder:"N" group:"Previews" help:"Videos that the embedded provider animatic renders at once."`
	FFmpeg  string `name:"ffmpeg" env:"UNIREEL_FFMPEG" default:"ffmpeg" placeholder:"PATH" group:"Previews" help:"The ffmpeg program; ffprobe is looked for beside it."`
	Font    string `name:"font" env:"UNIREEL_FONT" placeholder:"FILE" type:"path" group:"Previews" help:"The font of title cards and captions. Default: the first font found that has Chinese letters."`

	Blob Bucket `name:"blob" env:"UNIREEL_BLOB" placeholder:"s3://BUCKET[/PREFIX]" group:"Blobs" help:"Keep videos and files in a bucket of an S3 store: s3://BUCKET, or s3://BUCKET/PREFIX to share the bucket with others. The bucket must exist. Default: the folder blobs in the data folder."`
	S3   S3     `embed:"" prefix:"s3-" group:"Blobs"`

	DashScope DashScope `embed:"" prefix:"dashscope-" group:"DashScope"`

	// Upstreams is every configured account at a supplier: those of the file's
	// upstreams list, and one named dashscope when a DashScope key is set.
	Upstreams []Upstream `kong:"-"`
}

// DashScope is the short way to one DashScope account.
type DashScope struct {
	APIKey    Secret `name:"api-key" env:"UNIREEL_DASHSCOPE_API_KEY,DASHSCOPE_API_KEY" placeholder:"KEY" group:"DashScope" help:"The DashScope API key. With it the Wan models are rendered by DashScope; without it animatic stands in with previews. Better given by the environment than as a flag."`
	Region    string `name:"region" env:"UNIREEL_DASHSCOPE_REGION" default:"ap-southeast-1" enum:"ap-southeast-1,cn-beijing,us-east-1,eu-central-1,cn-hongkong,ap-northeast-1" placeholder:"REGION" group:"DashScope" help:"The key's region: ap-southeast-1 (Singapore), cn-beijing, us-east-1 (Virginia), eu-central-1 (Frankfurt), cn-hongkong or ap-northeast-1 (Tokyo). A key works in its own region only."`
	Workspace string `name:"workspace" env:"UNIREEL_DASHSCOPE_WORKSPACE" placeholder:"ID" group:"DashScope" help:"The key's workspace id. With it the workspace's own host is used. Needed in eu-central-1, cn-hongkong and ap-northeast-1."`
	BaseURL   string `name:"base-url" env:"UNIREEL_DASHSCOPE_BASE_URL" placeholder:"URL" group:"DashScope" help:"Where DashScope is, without /api/v1; a simulator's address for trying it out. Default: the region's."`
}

// S3 is how the store of Config.Blob is reached.
type S3 struct {
	Endpoint   string `name:"endpoint" env:"UNIREEL_S3_ENDPOINT" placeholder:"URL" group:"Blobs" help:"Where the S3 store is, such as https://minio.example.com:9000; with http:// nothing is encrypted on the way. Default: Amazon."`
	Region     string `name:"region" env:"UNIREEL_S3_REGION" placeholder:"REGION" group:"Blobs" help:"The bucket's region. Default: the store is asked for it."`
	AccessKey  string `name:"access-key" env:"UNIREEL_S3_ACCESS_KEY,AWS_ACCESS_KEY_ID" placeholder:"ID" group:"Blobs" help:"The access key. It must be allowed to list the bucket, to read, write and delete objects, and to list and abort uploads in parts."`
	SecretKey  Secret `name:"secret-key" env:"UNIREEL_S3_SECRET_KEY,AWS_SECRET_ACCESS_KEY" placeholder:"SECRET" group:"Blobs" help:"The access key's secret. Better given by the environment than as a flag."`
	Addressing string `name:"addressing" env:"UNIREEL_S3_ADDRESSING" default:"auto" enum:"auto,path,host" placeholder:"HOW" group:"Blobs" help:"Where the bucket's name stands: path (endpoint/bucket), host (bucket.endpoint) or auto, which is host at the large clouds and path elsewhere."`
	Presign    bool   `name:"presign" env:"UNIREEL_S3_PRESIGN" negatable:"" group:"Blobs" help:"Send whoever downloads a video to the store itself, by a signed link of 15 minutes: the bytes pass this server by. Customers must be able to reach the endpoint. Default: the server passes the bytes on."`
}

// Upstream is one configured account at a supplier.
type Upstream struct {
	Name     string            // unique; what the operator calls it
	Provider string            // the kind of supplier, "dashscope"
	BaseURL  string            // http(s), no trailing slash, no API path
	APIKey   Secret            // resolved from api_key, api_key_env or api_key_file
	KeyEnv   string            // the variable that the key came from, if any
	Region   string            // a label of the supplier's; BaseURL follows from it
	Settings map[string]string // what the provider alone understands: workspace
	Models   []string          // the supplier's models that it may serve; none is all
	Limits   Limits
	Order    int     // 1 comes first; a later one serves what the earlier ones cannot take
	Weight   int     // its share among those of the same order, from 1
	Routes   []Route // what it serves of our models; none: all that their files say of its kind
	Where    string  // the place to mend it: "unireel.yaml:12", or the command that made it
}

// Route is what an operator says of some of our models at one upstream. What is
// left out is as the upstream and the models' files say.
type Route struct {
	Models     []string `yaml:"models"` // ids and family names; none is all
	As         string   `yaml:"as"`     // the supplier's name of the model
	Order      int      `yaml:"order"`
	Weight     int      `yaml:"weight"`
	Sizes      []string `yaml:"sizes"`   // "1280*720": only these
	Seconds    []int    `yaml:"seconds"` // only these lengths
	PromptMax  int      `yaml:"prompt_max"`
	Images     *int     `yaml:"images"` // at most
	Videos     *int     `yaml:"videos"` // at most
	References int      `yaml:"references"`
	Lacks      []string `yaml:"lacks"` // what it cannot do: see docs/config.md
}

// Limits are what a supplier account takes for one model.
type Limits struct {
	SubmitsPerSecond float64
	InProgress       int
	QueriesPerSecond float64 // of the account, all models together
}

// limits are those that hold where an upstream names none of its own.
func (c *Config) limits() Limits {
	return Limits{SubmitsPerSecond: c.SubmitsPerSecond, InProgress: c.InProgress, QueriesPerSecond: c.QueriesPerSecond}
}

// or fills in what is not given.
func (l Limits) or(rest Limits) Limits {
	return Limits{
		SubmitsPerSecond: cmp.Or(l.SubmitsPerSecond, rest.SubmitsPerSecond),
		InProgress:       cmp.Or(l.InProgress, rest.InProgress),
		QueriesPerSecond: cmp.Or(l.QueriesPerSecond, rest.QueriesPerSecond),
	}
}

package config

import "fmt"

// regionHosts are DashScope's addresses by region (its API reference, endpoints by region).
// The first is used without a workspace; "" says that a workspace is needed.
var regionHosts = map[string]struct{ plain, workspace string }{
	"ap-southeast-1": {"https://dashscope-intl.aliyuncs.com", "https://%s.ap-southeast-1.maas.aliyuncs.com"},
	"cn-beijing":     {"https://dashscope.aliyuncs.com", "https://%s.cn-beijing.maas.aliyuncs.com"},
	"us-east-1":      {"https://dashscope-us.aliyuncs.com", "https://%s.us-east-1.maas.aliyuncs.com"},
	"eu-central-1":   {"", "https://%s.eu-central-1.maas.aliyuncs.com"},
}

// regionURL is where a region's DashScope is, or an error that says what is missing.
func regionURL(region, workspace string) (string, error) {
	if region == "" {
		region = "ap-southeast-1"
	}
	host, known := regionHosts[region]
	switch {
	case !known:
		return "", fmt.Errorf("region %q is none of ap-southeast-1, cn-beijing, us-east-1, eu-central-1", region)
	case workspace != "":
		return fmt.Sprintf(host.workspace, workspace), nil
	case host.plain == "":
		return "", fmt.Errorf("region %s needs the workspace id: set dashscope workspace (UNIREEL_DASHSCOPE_WORKSPACE)", region)
	}
	return host.plain, nil
}

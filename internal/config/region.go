package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// regionHosts are DashScope's addresses by region (its API references, endpoints by
// region). plain is used without a workspace; "" means that the region requires one.
// Tokyo and Hong Kong serve only Wan 3.0 (wan3-video-generation-api-reference).
var regionHosts = map[string]struct{ plain, workspace string }{
	"ap-southeast-1": {"https://dashscope-intl.aliyuncs.com", "https://%s.ap-southeast-1.maas.aliyuncs.com"},
	"cn-beijing":     {"https://dashscope.aliyuncs.com", "https://%s.cn-beijing.maas.aliyuncs.com"},
	"us-east-1":      {"https://dashscope-us.aliyuncs.com", "https://%s.us-east-1.maas.aliyuncs.com"},
	"eu-central-1":   {"", "https://%s.eu-central-1.maas.aliyuncs.com"},
	"cn-hongkong":    {"", "https://%s.cn-hongkong.maas.aliyuncs.com"},
	"ap-northeast-1": {"", "https://%s.ap-northeast-1.maas.aliyuncs.com"},
}

// workspacePattern matches what can be the first label of a host name.
var workspacePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// regionURL returns DashScope's address in a region, or an error that says what is
// missing.
func regionURL(region, workspace string) (string, error) {
	if region == "" {
		region = "ap-southeast-1"
	}

	host, known := regionHosts[region]
	switch {
	case !known:
		return "", fmt.Errorf("region %q is not one of %s; for any other address set base_url", region, strings.Join(slices.Sorted(maps.Keys(regionHosts)), ", "))
	case workspace != "" && !workspacePattern.MatchString(workspace):
		return "", fmt.Errorf("workspace %q is not a workspace id: use letters, digits and dashes, as on the workspace's page in the console", workspace)
	case workspace != "":
		return fmt.Sprintf(host.workspace, workspace), nil
	case host.plain == "":
		return "", fmt.Errorf("region %s needs the workspace id: set dashscope workspace (UNIREEL_DASHSCOPE_WORKSPACE)", region)
	}

	return host.plain, nil
}

package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// regionHosts are DashScope's addresses by region (its API references, endpoints
// by region). plain is used without a workspace; "" says that one is needed.
// Tokyo and Hong Kong serve Wan 3.0 alone (wan3-video-generation-api-reference).
var regionHosts = map[string]struct{ plain, workspace string }{
	"ap-southeast-1": {"https://dashscope-intl.aliyuncs.com", "https://%s.ap-southeast-1.maas.aliyuncs.com"},
	"cn-beijing":     {"https://dashscope.aliyuncs.com", "https://%s.cn-beijing.maas.aliyuncs.com"},
	"us-east-1":      {"https://dashscope-us.aliyuncs.com", "https://%s.us-east-1.maas.aliyuncs.com"},
	"eu-central-1":   {"", "https://%s.eu-central-1.maas.aliyuncs.com"},
	"cn-hongkong":    {"", "https://%s.cn-hongkong.maas.aliyuncs.com"},
	"ap-northeast-1": {"", "https://%s.ap-northeast-1.maas.aliyuncs.com"},
}

// workspaceForm is what can be the first part of a host's name.
var workspaceForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// regionURL is where a region's DashScope is, or an error that says what is missing.
func regionURL(region, workspace string) (string, error) {
	if region == "" {
		region = "ap-southeast-1"
	}

	host, known := regionHosts[region]
	switch {
	case !known:
		return "", fmt.Errorf("region %q is none of %s; for any other place set base_url", region, strings.Join(slices.Sorted(maps.Keys(regionHosts)), ", "))
	case workspace != "" && !workspaceForm.MatchString(workspace):
		return "", fmt.Errorf("workspace %q is no workspace id: letters, digits and dashes, as the workspace's page in the console shows it", workspace)
	case workspace != "":
		return fmt.Sprintf(host.workspace, workspace), nil
	case host.plain == "":
		return "", fmt.Errorf("region %s needs the workspace id: set dashscope workspace (UNIREEL_DASHSCOPE_WORKSPACE)", region)
	}

	return host.plain, nil
}

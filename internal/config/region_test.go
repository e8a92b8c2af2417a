package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegionURL(t *testing.T) {
	type place struct{ region, workspace string }
	for at, want := range map[place]string{
		{"", ""}:                   "https://dashscope-intl.aliyuncs.com",
		{"ap-southeast-1", ""}:     "https://dashscope-intl.aliyuncs.com",
		{"cn-beijing", ""}:         "https://dashscope.aliyuncs.com",
		{"us-east-1", ""}:          "https://dashscope-us.aliyuncs.com",
		{"", "ws-1"}:               "https://ws-1.ap-southeast-1.maas.aliyuncs.com",
		{"ap-southeast-1", "ws-1"}: "https://ws-1.ap-southeast-1.maas.aliyuncs.com",
		{"cn-beijing", "llm-bp3e"}: "https://llm-bp3e.cn-beijing.maas.aliyuncs.com",
		{"us-east-1", "ws-1"}:      "https://ws-1.us-east-1.maas.aliyuncs.com",
		{"eu-central-1", "ws-1"}:   "https://ws-1.eu-central-1.maas.aliyuncs.com",
		{"cn-hongkong", "ws-1"}:    "https://ws-1.cn-hongkong.maas.aliyuncs.com",
		{"ap-northeast-1", "ws-1"}: "https://ws-1.ap-northeast-1.maas.aliyuncs.com",
	} {
		if got, err := regionURL(at.region, at.workspace); err != nil || got != want {
			t.Errorf("%+v: %q, %v; want %q", at, got, err, want)
		}
	}

	for at, want := range map[place]string{
		{"singapore", ""}:          "not one of ap-northeast-1, ap-southeast-1, cn-beijing, cn-hongkong, eu-central-1, us-east-1",
		{"eu-central-1", ""}:       "needs the workspace id",
		{"cn-hongkong", ""}:        "needs the workspace id",
		{"ap-northeast-1", ""}:     "needs the workspace id",
		{"cn-beijing", "a.evil/b"}: "is not a workspace id",
		{"cn-beijing", "ws-"}:      "is not a workspace id",
	} {
		if got, err := regionURL(at.region, at.workspace); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %q, %v; want %q in one line", at, got, err, want)
		}
	}
}

// The flag's enum lists all regions, and its help names each of them.
func TestRegionFlagListsEveryRegion(t *testing.T) {
	field, _ := reflect.TypeFor[DashScope]().FieldByName("Region")

	listed := slices.Sorted(strings.SplitSeq(field.Tag.Get("enum"), ","))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(regionHosts)), listed); diff != "" {
		t.Error(diff)
	}

	for _, region := range listed {
		if !strings.Contains(field.Tag.Get("help"), region) {
			t.Errorf("the help does not mention %s", region)
		}
	}
}

package all

import "testing"

func TestDriversAreCompleteAndUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Drivers() {
		if k.Name == "" || seen[k.Name] || k.New == nil || k.Capabilities.PollInterval[0] <= 0 || k.Capabilities.PollInterval[1] < k.Capabilities.PollInterval[0] {
			t.Errorf("driver %+v is incomplete, or its name is used twice", k)
		}

		seen[k.Name] = true
	}
}

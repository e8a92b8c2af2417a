package all

import "testing"

func TestKindsAreWholeAndNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.Name == "" || seen[k.Name] || k.New == nil || k.Traits.PollEvery[0] <= 0 || k.Traits.PollEvery[1] < k.Traits.PollEvery[0] {
			t.Errorf("kind %+v is not whole, or its name stands twice", k)
		}

		seen[k.Name] = true
	}
}

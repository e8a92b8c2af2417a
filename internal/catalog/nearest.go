package catalog

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Nearest finds the word that was probably meant: the one of list with the
// smallest edit distance to word, case apart, and false when none is near.
func Nearest(word string, list []string) (string, bool) {
	const longest = 64
	if len(word) == 0 || len(word) > longest {
		return "", false
	}

	best := 1 + max(1, (utf8.RuneCountInString(word)+2)/3)
	found := ""

	for _, candidate := range list {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < best {
			best = d
			found = candidate
		}
	}

	return found, found != ""
}

// distance is Levenshtein's.
func distance(a, b string) int {
	from := []rune(a)
	to := []rune(b)

	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}

	for i, r := range from {
		corner := row[0]
		row[0] = i + 1

		for j, s := range to {
			cost := corner
			if r != s {
				cost++
			}

			corner = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}

	return row[len(to)]
}

// quote shows a customer's value inside a sentence, cut when it is long.
func quote(s string) string {
	const longest = 60
	if utf8.RuneCountInString(s) > longest {
		s = string([]rune(s[:min(len(s), longest*utf8.UTFMax)])[:longest]) + "…"
	}

	return strconv.Quote(s)
}

// either lists words for a sentence: "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}

	last := len(words) - 1

	return strings.Join(words[:last], ", ") + " or " + words[last]
}

package catalog

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Nearest returns the entry of list that was probably meant: the one with the smallest
// edit distance to word, ignoring case. It returns false if none is near.
func Nearest(word string, list []string) (string, bool) {
	const maxLength = 64
	if len(word) == 0 || len(word) > maxLength {
		return "", false
	}

	best := 1 + max(1, (utf8.RuneCountInString(word)+2)/3)
	found := ""

	for _, candidate := range list {
		if d := levenshtein(strings.ToLower(word), strings.ToLower(candidate)); d < best {
			best = d
			found = candidate
		}
	}

	return found, found != ""
}

// levenshtein returns the Levenshtein distance between a and b, in runes.
func levenshtein(a, b string) int {
	from := []rune(a)
	to := []rune(b)

	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}

	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1

		for j, s := range to {
			cost := diagonal
			if r != s {
				cost++
			}

			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}

	return row[len(to)]
}

// quote quotes a customer's value for use in a sentence and truncates a long one.
func quote(s string) string {
	const maxLength = 60
	if utf8.RuneCountInString(s) > maxLength {
		s = string([]rune(s[:min(len(s), maxLength*utf8.UTFMax)])[:maxLength]) + "…"
	}

	return strconv.Quote(s)
}

// joinOr joins words for a sentence: "a, b or c".
func joinOr(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}

	last := len(words) - 1

	return strings.Join(words[:last], ", ") + " or " + words[last]
}

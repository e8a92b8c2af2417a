package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/unireel/unireel/client"
)

// stateFileName is the file in the output folder that stores a batch's progress.
const stateFileName = "batch.state.json"

// line is one video of a batch file.
type line struct {
	number int // from 1
	key    string
	body   json.RawMessage
}

// readLines reads a batch file.
func readLines(path string) ([]line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	return parseLines(filepath.Base(path), f)
}

// parseLines parses lines of JSON objects. A line's key depends on the file's name, the
// line's text and the number of equal lines before it, so that the other lines keep their
// keys when a line is added anywhere in the file.
func parseLines(name string, r io.Reader) ([]line, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxBodyBytes)

	var lines []line

	equal := map[string]int{}

	for number := 1; scanner.Scan(); number++ {
		body := bytes.TrimSpace(bytes.TrimPrefix(scanner.Bytes(), []byte("\ufeff")))
		if len(body) == 0 {
			continue
		}

		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil || object == nil {
			return nil, fmt.Errorf("%s:%d: not a JSON object on one line", name, number)
		}

		text := string(body)
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", name, equal[text], text))
		equal[text]++

		lines = append(lines, line{number: number, key: "batch-" + hex.EncodeToString(sum[:16]), body: bytes.Clone(body)})
	}

	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}

	return lines, nil
}

// record is the progress of one line.
type record struct {
	Line   int    `json:"line"`
	Task   string `json:"task,omitempty"`
	Status string `json:"status,omitempty"`
	Cost   string `json:"cost,omitempty"`
	File   string `json:"file,omitempty"`
	Error  string `json:"error,omitempty"`
	Tries  int    `json:"tries,omitempty"` // earlier tasks of this line
}

// done reports whether nothing is left to do: the video was downloaded, or the task ended
// without a video.
func (r record) done() bool {
	switch client.Status(r.Status) {
	case client.Completed:
		if r.File == "" {
			return false
		}

		_, err := os.Stat(r.File)

		return err == nil
	case client.Failed, client.Cancelled:
		return true
	}

	return false
}

// retry returns the record with which the line is processed again, with a new task.
func (r record) retry() record { return record{Line: r.Line, Tries: r.Tries + 1} }

// batchState holds the records of a batch. Every change writes the whole file.
type batchState struct {
	path    string
	mu      sync.Mutex
	records map[string]record // by the line's key
}

func openState(folder string) (*batchState, error) {
	s := &batchState{path: filepath.Join(folder, stateFileName), records: map[string]record{}}

	text, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}

	if err != nil {
		return nil, fmt.Errorf("read the batch's state: %w", err)
	}

	if err := json.Unmarshal(text, &s.records); err != nil || s.records == nil {
		return nil, fmt.Errorf("%s is not a batch's state; move it away to create all tasks again", s.path)
	}

	return s, nil
}

func (s *batchState) get(key string) record {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.records[key]
}

// put stores the record durably before it returns.
func (s *batchState) put(key string, r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.records[key] = r

	text, err := json.MarshalIndent(s.records, "", "  ")
	if err != nil {
		return fmt.Errorf("write the batch's state: %w", err)
	}

	temp, err := os.CreateTemp(filepath.Dir(s.path), stateFileName+".*")
	if err != nil {
		return fmt.Errorf("write the batch's state: %w", err)
	}
	defer os.Remove(temp.Name())

	_, err = temp.Write(text)
	if err == nil {
		err = temp.Sync()
	}

	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}

	if err == nil {
		err = os.Rename(temp.Name(), s.path)
	}

	if err != nil {
		return fmt.Errorf("write the batch's state: %w", err)
	}

	return nil
}

// rows returns the records of the lines, in the order of the lines.
func (s *batchState) rows(lines []line) []record {
	s.mu.Lock()
	defer s.mu.Unlock()

	rows := make([]record, len(lines))
	for i, l := range lines {
		rows[i] = s.records[l.key]
	}

	return rows
}

// complete reports whether every line has its video.
func (s *batchState) complete(lines []line) bool {
	for _, r := range s.rows(lines) {
		if r.Status != string(client.Completed) || r.File == "" {
			return false
		}
	}

	return true
}

// Package sample holds the references that ship with the program: two pictures, a clip
// and a melody, all made by internal/sample/make, so that nobody else has rights in them.
// app offers them through checkout as files of every account (file_sample_...), so that a
// first request works as pasted, and the demo serves them under the names that the API
// page's examples use. The package only has bytes and a list: it reads no disk, knows no
// account and imports no other package of this module.
package sample

import (
	"embed"
	"io/fs"
)

//go:embed reference-shot-1.mp4 guide-audio.mp3 ref-1.png ref-2.png
var files embed.FS

// Sample describes one of the files.
type Sample struct {
	ID    string // as used in a request: "file_sample_" and a word
	Name  string // of the file in Files
	Kind  string // "image", "video", "audio"
	Type  string // media type
	Bytes int64
}

// Files returns the samples as a read-only file system whose files can seek.
func Files() fs.FS { return files }

// List returns the samples: the clip, the pictures, the sound.
func List() []Sample {
	all := []Sample{
		{ID: "file_sample_shot_1", Name: "reference-shot-1.mp4", Kind: "video", Type: "video/mp4"},
		{ID: "file_sample_ref_1", Name: "ref-1.png", Kind: "image", Type: "image/png"},
		{ID: "file_sample_ref_2", Name: "ref-2.png", Kind: "image", Type: "image/png"},
		{ID: "file_sample_guide_audio", Name: "guide-audio.mp3", Kind: "audio", Type: "audio/mpeg"},
	}
	for i, s := range all {
		if info, err := fs.Stat(files, s.Name); err == nil {
			all[i].Bytes = info.Size()
		}
	}

	return all
}

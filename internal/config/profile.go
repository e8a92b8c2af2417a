package config

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ProfileName is the profile's file in the data folder.
const ProfileName = "profile.json"

// maxProfile is how many bytes of a profile are read.
const maxProfile = 64 << 10

// Profile is how a client on the same host reaches the server: serve writes it,
// mode 0600, so that the command line needs neither address nor key.
type Profile struct {
	URL  string `json:"url"`
	Key  Secret `json:"-"`
	Data string `json:"data"`
}

// rawProfile is the profile on disk, the one place where its key is written.
type rawProfile struct {
	URL  string `json:"url"`
	Key  string `json:"key"`
	Data string `json:"data"`
}

// WriteProfile puts the profile into the folder, whole or not at all.
func WriteProfile(folder string, p Profile) error {
	text, err := json.MarshalIndent(rawProfile{URL: p.URL, Key: p.Key.Reveal(), Data: p.Data}, "", "  ")
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}

	part, err := os.CreateTemp(folder, ProfileName+".*") // 0600
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	defer os.Remove(part.Name())

	_, err = part.Write(append(text, '\n'))
	if closed := part.Close(); err == nil {
		err = closed
	}

	if err == nil {
		err = os.Rename(part.Name(), filepath.Join(folder, ProfileName))
	}

	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}

	return nil
}

// ReadProfile reads the folder's profile; os.ErrNotExist says that no server
// was started there yet.
func ReadProfile(folder string) (Profile, error) {
	f, err := os.Open(filepath.Join(folder, ProfileName))
	if err != nil {
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil {
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}

	return parseProfile(text)
}

func parseProfile(text []byte) (Profile, error) {
	var raw rawProfile
	if json.Unmarshal(text, &raw) != nil { // the cause may quote the key
		return Profile{}, fmt.Errorf("read profile: %s is not valid JSON; the next start of the server writes it anew", ProfileName)
	}

	return Profile{URL: raw.URL, Key: NewSecret(raw.Key), Data: raw.Data}, nil
}

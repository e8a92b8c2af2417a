package config

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ProfileName is the name of the profile's file in the data folder.
const ProfileName = "profile.json"

// maxProfileBytes limits how many bytes of a profile are read.
const maxProfileBytes = 64 << 10

// Profile tells a client on the same host how to reach the server. The server writes it
// with mode 0600, so that the command line needs neither address nor key.
type Profile struct {
	URL  string `json:"url"`
	Key  Secret `json:"-"`
	Data string `json:"data"`
}

// rawProfile is the profile as stored on disk, the only place where the key is written
// out.
type rawProfile struct {
	URL  string `json:"url"`
	Key  string `json:"key"`
	Data string `json:"data"`
}

// WriteProfile writes the profile to the folder atomically.
func WriteProfile(folder string, p Profile) error {
	text, err := json.MarshalIndent(rawProfile{URL: p.URL, Key: p.Key.Reveal(), Data: p.Data}, "", "  ")
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}

	temp, err := os.CreateTemp(folder, ProfileName+".*") // CreateTemp uses mode 0600
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	defer os.Remove(temp.Name())

	_, err = temp.Write(append(text, '\n'))
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}

	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(folder, ProfileName))
	}

	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}

	return nil
}

// ReadProfile reads the folder's profile. The error is os.ErrNotExist if no server was
// started there yet.
func ReadProfile(folder string) (Profile, error) {
	f, err := os.Open(filepath.Join(folder, ProfileName))
	if err != nil {
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, maxProfileBytes))
	if err != nil {
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}

	return parseProfile(text)
}

func parseProfile(text []byte) (Profile, error) {
	var raw rawProfile
	if json.Unmarshal(text, &raw) != nil { // the error is dropped because it may quote the key
		return Profile{}, fmt.Errorf("read profile: %s is not valid JSON; the next start of the server rewrites it", ProfileName)
	}

	return Profile{URL: raw.URL, Key: NewSecret(raw.Key), Data: raw.Data}, nil
}

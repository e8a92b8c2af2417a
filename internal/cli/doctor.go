package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/config"
)

// leastRoom is how many free bytes a data folder should have.
const leastRoom = 1 << 30

type doctorCmd struct{ operator }

// Help teaches by examples.
func (doctorCmd) Help() string {
	return "Looks at this machine (ffmpeg, font, disk, permissions) and at the installation (ledger, tasks, files, suppliers). The exit code is 1 when something is wrong; every such line says what to do. With --url it looks at the installation there, and not at this machine.\n\nExamples:\n\n  unireel doctor\n\n  unireel doctor --url https://video.example.com --key sk-...\n\n  unireel doctor --json | jq '.checks[] | select(.ok | not)'"
}

// Run looks.
func (c *doctorCmd) Run(ctx context.Context, w *World) error {
	health := client.Health{OK: true}
	there := true

	if c.URL == "" {
		cfg, err := c.load()
		if err != nil {
			return err
		}

		health.Checks = []client.Check{checkFFmpeg(ctx, cfg.FFmpeg), checkFont(ctx, cfg.Font), checkFolder(cfg), checkRoom(cfg.Data)}
		_, missing := os.Stat(cfg.Data)
		there = !os.IsNotExist(missing) // who looks makes nothing
	}

	var err error
	if there {
		err = c.with(ctx, w, func(admin client.Admin) error {
			found, err := admin.Doctor(ctx)
			health.Checks = append(health.Checks, found.Checks...)

			return err
		})
	}

	switch {
	case err != nil && c.URL != "":
		return err
	case err != nil:
		health.Checks = append(health.Checks, client.Check{Name: "server", Detail: err.Error(), Fix: "Start it with: unireel serve"})
	}

	for _, check := range health.Checks {
		health.OK = health.OK && check.OK
	}

	if c.JSON {
		if err := w.printJSON(health); err != nil {
			return err
		}
	} else {
		printChecks(w, health.Checks)
	}

	if !health.OK {
		return said(exitNo)
	}

	return nil
}

func printChecks(w *World, checks []client.Check) {
	for _, check := range checks {
		word := "ok   "
		if !check.OK {
			word = "WRONG"
		}

		text := check.Name
		if check.Detail != "" {
			text += ": " + check.Detail
		}

		fmt.Fprintf(w.Out, "%s  %s\n", word, text)

		if !check.OK && check.Fix != "" {
			fmt.Fprintf(w.Out, "       %s\n", check.Fix)
		}
	}
}

// installFFmpeg is what to do without it.
const installFFmpeg = "Install it: apt-get install ffmpeg (macOS: brew install ffmpeg), or name it with --ffmpeg (UNIREEL_FFMPEG)"

// probeOf is the ffprobe that belongs to an ffmpeg.
func probeOf(ffmpeg string) string {
	if folder := filepath.Dir(ffmpeg); folder != "." {
		return filepath.Join(folder, "ffprobe")
	}

	return "ffprobe"
}

func checkFFmpeg(ctx context.Context, ffmpeg string) client.Check {
	check := client.Check{Name: "ffmpeg", Fix: installFFmpeg}

	for _, program := range []string{ffmpeg, probeOf(ffmpeg)} {
		if _, err := exec.LookPath(program); err != nil {
			check.Detail = program + " is not found"
			return check
		}
	}

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	out, err := exec.CommandContext(ctx, ffmpeg, "-hide_banner", "-encoders").Output()
	for _, encoder := range []string{"libx264", "aac"} {
		if err != nil || !strings.Contains(string(out), encoder) {
			check.Detail = fmt.Sprintf("%s cannot encode with %s", ffmpeg, encoder)
			return check
		}
	}

	check.OK = true
	check.Detail = "encodes H.264 and AAC"

	return check
}

func checkFont(ctx context.Context, font string) client.Check {
	check := client.Check{Name: "font", Fix: "Install one: apt-get install fonts-noto-cjk (macOS has some), or name one with --font (UNIREEL_FONT)"}

	if font != "" {
		_, err := os.Stat(font)
		check.OK = err == nil

		check.Detail = font
		if err != nil {
			check.Detail = font + " cannot be read"
		}

		return check
	}

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	out, err := exec.CommandContext(ctx, "fc-list", ":lang=zh", "file").Output()
	if first, _, _ := strings.Cut(string(out), ":"); err == nil && first != "" {
		check.OK = true
		check.Detail = "Chinese letters from " + strings.TrimSpace(first)

		return check
	}

	const apple = "/System/Library/Fonts/PingFang.ttc"
	if _, err := os.Stat(apple); err == nil {
		check.OK = true
		check.Detail = "Chinese letters from " + apple

		return check
	}

	check.Detail = "no font with Chinese letters is found"

	return check
}

func checkFolder(cfg config.Config) client.Check {
	check := client.Check{Name: "data folder", Detail: cfg.Data}

	info, err := os.Stat(cfg.Data)
	switch {
	case os.IsNotExist(err):
		check.OK = true
		check.Detail = cfg.Data + " is not there yet; the first start makes it"
	case err != nil || !info.IsDir():
		check.Detail = cfg.Data + " is not a folder that can be used"
		check.Fix = "Name another with --data (UNIREEL_DATA)"
	case info.Mode().Perm()&0o077 != 0:
		check.Detail = fmt.Sprintf("%s can be read by others (mode %04o)", cfg.Data, info.Mode().Perm())
		check.Fix = "chmod 700 " + cfg.Data
	case unix.Access(cfg.Data, unix.W_OK) != nil:
		check.Detail = cfg.Data + " cannot be written"
		check.Fix = "Run this as the server's user, or give the folder to it"
	default:
		check.OK = true
	}

	return check
}

func checkRoom(folder string) client.Check {
	check := client.Check{Name: "disk", Fix: "Make room, or shorten --retention"}

	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			break
		}
	}

	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		check.Detail = "free room cannot be read at " + folder
		return check
	}

	free := stat.Bavail * uint64(stat.Bsize)
	check.OK = free >= leastRoom
	check.Detail = fmt.Sprintf("%.1f GB free", float64(free)/1e9)

	return check
}

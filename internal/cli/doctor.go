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

// minFreeBytes is the free disk space that a data folder should have.
const minFreeBytes = 1 << 30

type doctorCmd struct{ operatorFlags }

// Help returns a description and examples.
func (doctorCmd) Help() string {
	return "Checks this host (ffmpeg, font, disk, permissions) and the installation (ledger, tasks, files, suppliers). The exit code is 1 if a check fails; a failed check says what to do. With --url it checks only the remote installation, not this host.\n\nExamples:\n\n  unireel doctor\n\n  unireel doctor --url https://video.example.com --key sk-...\n\n  unireel doctor --json | jq '.checks[] | select(.ok | not)'"
}

// Run runs the checks and prints their results.
func (c *doctorCmd) Run(ctx context.Context, env *Env) error {
	health := client.Health{OK: true}
	exists := true

	if c.URL == "" {
		cfg, err := c.loadConfig()
		if err != nil {
			return err
		}

		health.Checks = []client.Check{checkFFmpeg(ctx, cfg.FFmpeg), checkFont(ctx, cfg.Font), checkDataFolder(cfg), checkDiskSpace(cfg.Data)}
		_, missing := os.Stat(cfg.Data)
		exists = !os.IsNotExist(missing) // opening the installation would create a missing folder, and a check must not
	}

	var err error
	if exists {
		err = c.withAdmin(ctx, env, func(admin client.Admin) error {
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
		if err := env.printJSON(health); err != nil {
			return err
		}
	} else {
		printChecks(env, health.Checks)
	}

	if !health.OK {
		return exitError(exitFailure)
	}

	return nil
}

func printChecks(env *Env, checks []client.Check) {
	for _, check := range checks {
		mark := "ok   "
		if !check.OK {
			mark = "FAIL "
		}

		text := check.Name
		if check.Detail != "" {
			text += ": " + check.Detail
		}

		fmt.Fprintf(env.Out, "%s  %s\n", mark, text)

		if !check.OK && check.Fix != "" {
			fmt.Fprintf(env.Out, "       %s\n", check.Fix)
		}
	}
}

// ffmpegFix is the advice if ffmpeg is missing or unusable.
const ffmpegFix = "Install it: apt-get install ffmpeg (macOS: brew install ffmpeg), or set its path with --ffmpeg (UNIREEL_FFMPEG)"

// ffprobePath returns the path of the ffprobe that belongs to an ffmpeg.
func ffprobePath(ffmpeg string) string {
	if folder := filepath.Dir(ffmpeg); folder != "." {
		return filepath.Join(folder, "ffprobe")
	}

	return "ffprobe"
}

func checkFFmpeg(ctx context.Context, ffmpeg string) client.Check {
	check := client.Check{Name: "ffmpeg", Fix: ffmpegFix}

	for _, program := range []string{ffmpeg, ffprobePath(ffmpeg)} {
		if _, err := exec.LookPath(program); err != nil {
			check.Detail = program + " was not found"
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
	check := client.Check{Name: "font", Fix: "Install one: apt-get install fonts-noto-cjk (macOS has some), or set one with --font (UNIREEL_FONT)"}

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
		check.Detail = "Chinese characters from " + strings.TrimSpace(first)

		return check
	}

	const apple = "/System/Library/Fonts/PingFang.ttc"
	if _, err := os.Stat(apple); err == nil {
		check.OK = true
		check.Detail = "Chinese characters from " + apple

		return check
	}

	check.Detail = "no font with Chinese characters was found"

	return check
}

func checkDataFolder(cfg config.Config) client.Check {
	check := client.Check{Name: "data folder", Detail: cfg.Data}

	info, err := os.Stat(cfg.Data)
	switch {
	case os.IsNotExist(err):
		check.OK = true
		check.Detail = cfg.Data + " does not exist yet; the first start creates it"
	case err != nil || !info.IsDir():
		check.Detail = cfg.Data + " is not a usable folder"
		check.Fix = "Choose another with --data (UNIREEL_DATA)"
	case info.Mode().Perm()&0o077 != 0:
		check.Detail = fmt.Sprintf("%s can be read by others (mode %04o)", cfg.Data, info.Mode().Perm())
		check.Fix = "chmod 700 " + cfg.Data
	case unix.Access(cfg.Data, unix.W_OK) != nil:
		check.Detail = cfg.Data + " cannot be written"
		check.Fix = "Run this as the server's user, or make that user the folder's owner"
	default:
		check.OK = true
	}

	return check
}

func checkDiskSpace(folder string) client.Check {
	check := client.Check{Name: "disk", Fix: "Free disk space, or shorten --retention"}

	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			break
		}
	}

	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		check.Detail = "the free disk space cannot be read at " + folder
		return check
	}

	free := stat.Bavail * uint64(stat.Bsize)
	check.OK = free >= minFreeBytes
	check.Detail = fmt.Sprintf("%.1f GB free", float64(free)/1e9)

	return check
}

package animatic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// checkTimeout limits each call of a program.
const checkTimeout = 15 * time.Second

// Check returns an error for everything that this machine lacks for rendering: ffmpeg
// with its encoders, ffprobe, and a font with Chinese characters. settings are those of
// Options. For each missing thing there is one sentence with the command that installs
// it; the errors are joined.
func Check(ctx context.Context, settings map[string]string) error {
	t, err := findTools(settings)
	if err != nil {
		return err
	}

	tf, fontErr := findTypeface(ctx, settings)
	if fontErr == nil {
		fontErr = tf.close()
	}

	return errors.Join(t.checkEncoders(ctx), fontErr)
}

func findTools(settings map[string]string) (*tools, error) {
	t := &tools{}

	var missing error

	for _, p := range []struct {
		name string
		path *string
	}{{"ffmpeg", &t.ffmpeg}, {"ffprobe", &t.ffprobe}} {
		name := settings[p.name]
		if name == "" {
			name = p.name
		}

		found, err := exec.LookPath(name)
		if err != nil {
			missing = errors.Join(missing, fmt.Errorf("%s was not found (looked for %q), but previews need it: install it with `%s`", p.name, name, installCommand("ffmpeg")))
			continue
		}

		*p.path = found
	}

	t.nice, _ = exec.LookPath("nice")

	return t, missing
}

// installCommand returns the command that installs a Debian package, or its Homebrew equivalent.
func installCommand(what string) string {
	if runtime.GOOS == "darwin" {
		if what == "fonts-noto-cjk" {
			what = "--cask font-noto-sans-cjk"
		}

		return "brew install " + what
	}

	return "apt-get install " + what
}

// checkEncoders checks that ffmpeg has the encoders that videos need.
func (t *tools) checkEncoders(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, errTimeout)
	defer cancel()

	out := &limitedBuffer{limit: 1 << 20}
	if err := t.run(ctx, invocation{program: t.ffmpeg, stdout: out, args: []string{"-hide_banner", "-nostdin", "-encoders"}}); err != nil {
		return fmt.Errorf("%s does not run (%w): install it with `%s`", t.ffmpeg, err, installCommand("ffmpeg"))
	}

	var missing error

	for _, name := range []string{"libx264", "aac"} {
		if !bytes.Contains(out.buf, []byte(" "+name+" ")) {
			missing = errors.Join(missing, fmt.Errorf("%s has no encoder %s: install a full build with `%s`", t.ffmpeg, name, installCommand("ffmpeg")))
		}
	}

	return missing
}

// fontFiles are the usual paths of fonts with Chinese characters, for machines without fontconfig.
var fontFiles = []string{
	"/usr/share/fonts/opentype/noto/NotoSansCJK-Medium.ttc",
	"/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
	"/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
	"/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
	"/System/Library/Fonts/PingFang.ttc",
	"/System/Library/Fonts/Hiragino Sans GB.ttc",
	"/System/Library/Fonts/STHeiti Medium.ttc",
	"/Library/Fonts/NotoSansCJK-Regular.ttc",
}

// requiredCharacters are characters that the font must have: Chinese, Latin and punctuation.
const requiredCharacters = "永生成视频，Aa1…"

// findTypeface opens the font of the settings, or else the first font found that has
// Chinese characters. The caller closes it.
func findTypeface(ctx context.Context, settings map[string]string) (*typeface, error) {
	candidates := fontFiles
	if path := settings["font"]; path != "" {
		candidates = []string{path}
	} else {
		if home, err := os.UserHomeDir(); err == nil {
			candidates = append(candidates[:len(candidates):len(candidates)], filepath.Join(home, "Library/Fonts/NotoSansCJK-Regular.ttc"))
		}

		if path := matchFont(ctx); path != "" {
			candidates = append([]string{path}, candidates...)
		}
	}

	var errs error

	for _, path := range candidates {
		tf, err := openTypeface(path)
		if err == nil && tf.removeUndrawable(requiredCharacters) == requiredCharacters {
			return tf, nil
		}

		if err == nil {
			_ = tf.close()
			err = fmt.Errorf("font %s has no Chinese characters", path)
		}

		errs = errors.Join(errs, err)
	}

	if path := settings["font"]; path != "" {
		return nil, fmt.Errorf("the font %q cannot be used (%w): name another, or install one with `%s`", path, errs, installCommand("fonts-noto-cjk"))
	}

	return nil, fmt.Errorf("no font with Chinese characters was found, but captions need one: install one with `%s`", installCommand("fonts-noto-cjk"))
}

// matchFont asks fontconfig for a font; it returns "" if fontconfig is not installed.
func matchFont(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	out, err := exec.CommandContext(ctx, "fc-match", "--format=%{file}", "Noto Sans CJK SC:lang=zh-cn").Output()
	if err != nil {
		return ""
	}

	return strings.TrimSpace(string(out))
}

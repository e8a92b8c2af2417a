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

// checkTime bounds each question to a program.
const checkTime = 15 * time.Second

// Check says what of the machine is missing for making films: ffmpeg with its
// encoders, ffprobe, and a font with Chinese characters. settings are those of
// Options. Its error is one clear sentence with the command that installs what
// is missing; all that is missing is joined.
func Check(ctx context.Context, settings map[string]string) error {
	t, err := findTools(settings)
	if err != nil {
		return err
	}

	l, fontErr := findLetters(ctx, settings)
	if fontErr == nil {
		fontErr = l.close()
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
			missing = errors.Join(missing, fmt.Errorf("%s was not found (looked for %q), and previews are made with it: install it with `%s`", p.name, name, install("ffmpeg")))
			continue
		}

		*p.path = found
	}

	t.nice, _ = exec.LookPath("nice")

	return t, missing
}

// install is the command that installs a Debian package, or its Homebrew twin.
func install(what string) string {
	if runtime.GOOS == "darwin" {
		if what == "fonts-noto-cjk" {
			what = "--cask font-noto-sans-cjk"
		}

		return "brew install " + what
	}

	return "apt-get install " + what
}

// checkEncoders asks ffmpeg for the encoders that films need.
func (t *tools) checkEncoders(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, errSlow)
	defer cancel()

	out := &limited{limit: 1 << 20}
	if err := t.run(ctx, call{program: t.ffmpeg, out: out, args: []string{"-hide_banner", "-nostdin", "-encoders"}}); err != nil {
		return fmt.Errorf("%s does not run (%w): install it with `%s`", t.ffmpeg, err, install("ffmpeg"))
	}

	var missing error

	for _, name := range []string{"libx264", "aac"} {
		if !bytes.Contains(out.kept, []byte(" "+name+" ")) {
			missing = errors.Join(missing, fmt.Errorf("%s has no encoder %s: install a full build with `%s`", t.ffmpeg, name, install("ffmpeg")))
		}
	}

	return missing
}

// fontFiles are where fonts with Chinese characters are found without fontconfig.
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

// specimen are characters that the font must have: Chinese, Latin, punctuation.
const specimen = "永生成视频，Aa1…"

// findLetters opens the font of the settings, or the first that can be found and
// has Chinese characters. The caller closes it.
func findLetters(ctx context.Context, settings map[string]string) (*letters, error) {
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

	var tried error

	for _, path := range candidates {
		l, err := openLetters(path)
		if err == nil && l.clean(specimen) == specimen {
			return l, nil
		}

		if err == nil {
			_ = l.close()
			err = fmt.Errorf("font %s has no Chinese characters", path)
		}

		tried = errors.Join(tried, err)
	}

	if path := settings["font"]; path != "" {
		return nil, fmt.Errorf("the font %q cannot be used (%w): name another, or install one with `%s`", path, tried, install("fonts-noto-cjk"))
	}

	return nil, fmt.Errorf("no font with Chinese characters was found, and captions are written with it: install one with `%s`", install("fonts-noto-cjk"))
}

// matchFont asks fontconfig; "" when it is not there.
func matchFont(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()

	out, err := exec.CommandContext(ctx, "fc-match", "--format=%{file}", "Noto Sans CJK SC:lang=zh-cn").Output()
	if err != nil {
		return ""
	}

	return strings.TrimSpace(string(out))
}

#!/bin/sh
# Draws docs/demo.png again: runs `unireel demo` in a terminal, takes what it
# shows and frames of the two videos that it made. The folder's name and the
# signed links are left out of the picture. Needs tmux, ffmpeg, DejaVu Sans Mono.
#
#   make build && docs/demo.sh
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
scratch=$(mktemp -d)
screen() { tmux -L "unireel-demo-$$" -f /dev/null "$@"; }
trap 'screen kill-server 2>/dev/null || true; rm -rf "$scratch"' EXIT

# --- run it -------------------------------------------------------------------

mkdir "$scratch/bin"
ln -s "$root/bin/unireel" "$scratch/bin/unireel"
screen new-session -d -s demo -x 180 -y 40 "cd $scratch && PATH=$scratch/bin:\$PATH PS1='\$ ' ENV= sh"
screen send-keys -t demo 'unireel demo --once; echo ended $?' Enter
for _ in $(seq 180); do
	sleep 1
	screen capture-pane -p -t demo >"$scratch/screen.txt"
	grep -q '^ended' "$scratch/screen.txt" && break
done
grep -q '^ended 0' "$scratch/screen.txt" || { cat "$scratch/screen.txt" >&2; exit 1; }
sed -e 's/; echo ended.*//' -e "s|$scratch/||" "$scratch/screen.txt" |
	grep -Ev '^(ended|\$ *$|  (video|thumbnail) |$)' >"$scratch/lines.txt"

# --- draw it ------------------------------------------------------------------

mono="font=DejaVu Sans Mono"
filter="color=c=0x0f1420:s=1280x662,drawbox=0:0:1280:40:0x1b2333:fill"
x=26
for dot in 0xf2665a 0xf5bf4f 0x5fc454; do
	filter="$filter,drawbox=$x:14:12:12:$dot:fill"
	x=$((x + 22))
done
n=0 y=76 # of the line's foot
while IFS= read -r line; do
	printf '%s' "$line" >"$scratch/line.$n"
	colour=0xc8d3e6
	case $line in
	'$ '*) colour=0xffffff ;;
	*verified) colour=0x7fd88f ;;
	'  '*) colour=0x8796b0 ;;
	esac
	filter="$filter,drawtext=$mono:textfile=$scratch/line.$n:expansion=none:fontsize=18:fontcolor=$colour:x=26:y=$y-max_glyph_a"
	n=$((n + 1)) y=$((y + 27))
done <"$scratch/lines.txt"
filter="${filter}[v0];"

# shot FILE SECOND X Y: one frame with its time below.
set --
n=0
shot() {
	inputs="${inputs:-} -ss $2 -i $scratch/demo/$1"
	filter="${filter}[$n:v]scale=240:135:flags=lanczos,setsar=1[f$n];[v$n][f$n]overlay=$3:$4"
	name=''
	[ "$3" != 24 ] || name="$1  "
	filter="$filter,drawtext=$mono:text='$name$2 s':fontsize=13:fontcolor=0x8796b0:x=$3:y=$4+141[v$((n + 1))];"
	n=$((n + 1))
}
x=24
for second in 0.2 1.3 2.4 3.5 4.6; do
	shot reference-shot.mp4 $second $x 330
	x=$((x + 248))
done
x=24
for second in 0.5 2.5 4.5 6.5 9.5; do
	shot product.mp4 $second $x 498
	x=$((x + 248))
done
# shellcheck disable=SC2086 # a list of words
ffmpeg -nostdin -v error -y $inputs -filter_complex \
	"${filter}[v$n]split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=dither=bayer:bayer_scale=3" \
	-frames:v 1 -update 1 -compression_level 9 "$root/docs/demo.png"

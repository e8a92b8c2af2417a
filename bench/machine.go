package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build makes the program as it is shipped.
func (b *bench) build(ctx context.Context) error {
	b.binary = filepath.Join(b.folder, "unireel")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, "./cmd/unireel")

	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")

	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}

	return nil
}

// describe names the machine, and how busy others keep it.
func describe(folder string) string {
	busy, _, _ := strings.Cut(trimmed("/proc/loadavg"), " ")

	return fmt.Sprintf("Machine: %s, %d cores, %s %s, %s; disk: %s; load of the machine before: %s.", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		runtime.GOOS, trimmed("/proc/sys/kernel/osrelease"), runtime.Version(), fileSystem(folder), busy)
}

// disk measures how often the bare disk makes something durable: no durable
// write can be faster than that without sharing.
func disk(_ context.Context, b *bench) ([]line, error) {
	const bounds = "the disk"

	page, err := syncRate(b.folder, 256, 4096)
	if err != nil {
		return nil, err
	}
	// SQLite's log grows by frames: a page and its 24 bytes of header.
	log, err := syncRate(b.folder, 0, 3*(4096+24))
	if err != nil {
		return nil, err
	}

	return []line{
		{name: "bare disk: 4 KiB written in place, with an fsync each", unit: "/s", measured: page, bounds: bounds},
		{name: "bare disk: three frames appended as SQLite's log does, with an fsync each", unit: "/s", measured: log, bounds: bounds},
	}, nil
}

// syncRate writes chunks of some bytes for two seconds, round and round over so
// many places, or appended when places is 0.
func syncRate(folder string, places, bytes int) (float64, error) {
	f, err := os.CreateTemp(folder, "sync-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()

	chunk := make([]byte, bytes)
	begin := time.Now()

	n := 0
	for ; time.Since(begin) < 2*time.Second; n++ {
		place := n
		if places > 0 {
			place = n % places
		}

		if _, err := f.WriteAt(chunk, int64(place*bytes)); err != nil {
			return 0, err
		}

		if err := f.Sync(); err != nil {
			return 0, err
		}
	}

	return float64(n) / time.Since(begin).Seconds(), nil
}

// field is the first value of a name in a file of "name: value" lines.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for l := range strings.Lines(string(text)) {
		if is, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(is) == name {
			return strings.TrimSpace(value)
		}
	}

	return "unknown"
}

func trimmed(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// fileSystem names what the folder is on: the mount that is longest.
func fileSystem(folder string) string {
	text, _ := os.ReadFile("/proc/mounts")
	longest := ""
	is := "unknown"

	for l := range strings.Lines(string(text)) {
		f := strings.Fields(l)
		if len(f) < 3 || len(f[1]) < len(longest) {
			continue
		}

		if inside, err := filepath.Rel(f[1], folder); err == nil && !strings.HasPrefix(inside, "..") {
			longest = f[1]
			is = f[2] + " on " + f[0]
		}
	}

	return is
}

// rss is a process's resident memory in MiB; 0 where there is no /proc.
func rss(pid int) float64 { return memory(pid, "VmRSS") }

// own is the part of it that no file backs: SQLite maps the database once for
// each connection, and all of these count as resident.
func own(pid int) float64 { return memory(pid, "RssAnon") }

func memory(pid int, name string) float64 {
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(field(fmt.Sprintf("/proc/%d/status", pid), name), " kB"), 64)
	return kb / 1024
}

// cpu is what a process and its ended children have used, in seconds.
func cpu(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")

	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0
	}

	ticks := 0.0

	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseFloat(field, 64)
		ticks += n
	}

	return ticks / 100
}

// family is cpu of a process and of those children that live.
func family(pid int) float64 {
	used := cpu(pid)

	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, _ := os.ReadFile(file)

		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			used += cpu(child)
		}
	}

	return used
}

// allCPU is what everything on the machine has used, in seconds.
func allCPU() float64 {
	first, _, _ := strings.Cut(trimmed("/proc/stat"), "\n")

	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq
	if len(fields) < 8 {
		return 0
	}

	ticks := 0.0

	for _, i := range []int{1, 2, 3, 6, 7} {
		n, _ := strconv.ParseFloat(fields[i], 64)
		ticks += n
	}

	return ticks / 100
}

// ownCPU is what this process has used, in seconds: load and simulated supplier.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}

	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

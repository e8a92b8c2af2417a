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

// build builds the program as it is shipped.
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

// describeMachine returns a line about the machine and its load for the report.
func describeMachine(folder string) string {
	load, _, _ := strings.Cut(readTrimmed("/proc/loadavg"), " ")

	return fmt.Sprintf("Machine: %s, %d cores, %s %s, %s; disk: %s; load average before the run: %s.", fieldValue("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		runtime.GOOS, readTrimmed("/proc/sys/kernel/osrelease"), runtime.Version(), fileSystem(folder), load)
}

// disk measures how many writes with an fsync each the disk can do in a second.
// Durable writes can exceed that only by sharing an fsync.
func disk(_ context.Context, b *bench) ([]measurement, error) {
	const limitedBy = "the disk"

	pageRate, err := syncRate(b.folder, 256, 4096)
	if err != nil {
		return nil, err
	}

	// SQLite's write-ahead log grows by frames: a page and its header of 24 bytes.
	logRate, err := syncRate(b.folder, 0, 3*(4096+24))
	if err != nil {
		return nil, err
	}

	return []measurement{
		{name: "disk: 4 KiB overwritten in place, with an fsync each", unit: "/s", measured: pageRate, limitedBy: limitedBy},
		{name: "disk: three frames appended as to SQLite's log, with an fsync each", unit: "/s", measured: logRate, limitedBy: limitedBy},
	}, nil
}

// syncRate writes chunks of some bytes with an fsync each for two seconds, and
// returns the number of writes per second. It overwrites slots in rotation, or
// appends if slots is 0.
func syncRate(folder string, slots, bytes int) (float64, error) {
	f, err := os.CreateTemp(folder, "sync-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()

	chunk := make([]byte, bytes)
	start := time.Now()

	n := 0
	for ; time.Since(start) < 2*time.Second; n++ {
		slot := n
		if slots > 0 {
			slot = n % slots
		}

		if _, err := f.WriteAt(chunk, int64(slot*bytes)); err != nil {
			return 0, err
		}

		if err := f.Sync(); err != nil {
			return 0, err
		}
	}

	return float64(n) / time.Since(start).Seconds(), nil
}

// fieldValue returns the first value of a name in a file of "name: value" lines, or
// "unknown".
func fieldValue(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}

	return "unknown"
}

func readTrimmed(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// fileSystem names the file system and the device of a folder: those of the mount
// with the longest path that contains it.
func fileSystem(folder string) string {
	text, _ := os.ReadFile("/proc/mounts")
	longest := ""
	found := "unknown"

	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(longest) {
			continue
		}

		if relative, err := filepath.Rel(fields[1], folder); err == nil && !strings.HasPrefix(relative, "..") {
			longest = fields[1]
			found = fields[2] + " on " + fields[0]
		}
	}

	return found
}

// rss returns the resident memory of a process in MiB; 0 where there is no /proc.
func rss(pid int) float64 { return memoryMiB(pid, "VmRSS") }

// anonRSS returns the part of rss that no file backs. SQLite maps the database once
// for each connection, and rss counts every mapping.
func anonRSS(pid int) float64 { return memoryMiB(pid, "RssAnon") }

func memoryMiB(pid int, name string) float64 {
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(fieldValue(fmt.Sprintf("/proc/%d/status", pid), name), " kB"), 64)
	return kb / 1024
}

// cpu returns the CPU time of a process and its exited children, in seconds.
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

// cpuWithChildren returns cpu of a process and of its running children.
func cpuWithChildren(pid int) float64 {
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

// totalCPU returns the CPU time of the whole machine, in seconds.
func totalCPU() float64 {
	first, _, _ := strings.Cut(readTrimmed("/proc/stat"), "\n")

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

// selfCPU returns the CPU time of this process, in seconds: of the load and of the
// simulated supplier.
func selfCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}

	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

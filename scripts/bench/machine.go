package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where the figures come from: without it they cannot be compared.
type machine struct {
	Cores      int     `json:"cores"`
	CPU        string  `json:"cpu"`
	System     string  `json:"system"`
	Go         string  `json:"go"`
	Commit     string  `json:"commit"`
	LoadBefore float64 `json:"load_before"` // processes ready to run, mean of the last minute
	LoadAfter  float64 `json:"load_after"`
}

func thisMachine() machine {
	return machine{
		Cores: runtime.NumCPU(), CPU: cpuModel(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Commit: commit(), LoadBefore: load(),
	}
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// commit is that of the checkout; safe.directory lets git describe a checkout of another user.
func commit() string {
	out, err := exec.Command("git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// load is the mean number of processes ready to run in the last minute, 0 where the system does not say.
func load() (mean float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(text), &mean)
	return mean
}

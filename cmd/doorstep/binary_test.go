package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// binary is the real program, built once: with the race detector when the tests have it, so that
// the build cache of one serves the other.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "doorstep-bin-")
		if err != nil {
			built.err = err
			return
		}
		args := []string{"build", "-buildvcs=false", "-o", filepath.Join(dir, "doorstep")}
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "-race" && s.Value == "true" {
					args = append(args, "-race")
				}
			}
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build: %v: %s", err, out)
			return
		}
		built.path = filepath.Join(dir, "doorstep")
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	noServices = "/usr/sbin/policy-rc.d"
	noCluster  = "/etc/postgresql-common/createcluster.d/doorstep-bench.conf"
)

// findPostgres is the folder of the programs of a PostgreSQL from 15 on that has PostGIS.
func findPostgres() (bin string, err error) {
	for version := 15; version <= 40; version++ {
		bin := fmt.Sprintf("/usr/lib/postgresql/%d/bin", version)
		if exists(bin+"/initdb") && exists(fmt.Sprintf("/usr/share/postgresql/%d/extension/postgis.control", version)) {
			return bin, nil
		}
	}
	return "", errors.New("no PostgreSQL from 15 on with PostGIS in /usr/lib/postgresql")
}

func findRedis() (string, error) { return exec.LookPath("redis-server") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// have finds a program, and installs Debian's packages with it where it is missing.
func (b *bench) have(find func() (string, error), packages ...string) (string, error) {
	path, err := find()
	if err == nil {
		return path, nil
	}
	if err := b.install(err, packages...); err != nil {
		return "", err
	}
	return find()
}

// install needs root and apt-get; why says what is missing otherwise.
func (b *bench) install(why error, packages ...string) (err error) {
	if _, missing := exec.LookPath("apt-get"); missing != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w; install %s (only root with apt-get can be helped)", why, strings.Join(packages, " and "))
	}
	b.progress("installing %s", strings.Join(packages, " and "))
	// Debian's packages would create a database and start servers for the whole machine: not asked for.
	for path, text := range map[string]string{noCluster: "create_main_cluster = false\n", noServices: "#!/bin/sh\nexit 101\n"} {
		created, failed := createFile(path, text)
		if failed != nil {
			return failed
		}
		if created {
			defer func() { err = errors.Join(err, os.Remove(path)) }()
		}
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "--no-install-recommends"}, packages...)} {
		if err := aptGet(args...); err != nil {
			return fmt.Errorf("%w; %w", why, err)
		}
	}
	return nil
}

func createFile(path, text string) (created bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return false, nil // the machine's own
	}
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(text)
	return true, errors.Join(err, f.Close())
}

func aptGet(args ...string) error {
	cmd := exec.Command("apt-get", append([]string{"-q", "-y", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	// A group of its own: Ctrl-C in the middle would leave packages half installed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, lastLines(out))
	}
	return nil
}

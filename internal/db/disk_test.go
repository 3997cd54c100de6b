package db_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a memory disk of the given size, as only root can.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small disk to fill: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func grow(dir, size string) error {
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size="+size)
}

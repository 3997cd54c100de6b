package assign_test

import (
	"doorstep/internal/assign"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(1, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
func TestZZ(t *testing.T) {
	w := country()
	l, n := w.index.Stats()
	t.Log("leaves", l, "inner", n)
	runtime.GC()
	runtime.LockOSThread()
	t0 := cpu()
	k := 0
	for _, p := range w.orders {
		w.index.Nearest(p, 0, nil)
		k++
	}
	t.Log("cold cpu", (cpu()-t0)/time.Duration(k))
	for _, N := range []int{100, 1000, 10000, 100000} {
		for range 2 {
			t0 := cpu()
			k := 0
			for k < 300000 {
				for _, p := range w.orders[:N] {
					w.index.Nearest(p, 0, nil)
					k++
				}
			}
			t.Log(N, "orders cpu", (cpu()-t0)/time.Duration(k))
		}
	}
	t0 = cpu()
	k = 0
	for _, p := range w.orders {
		w.index.Nearest(p, 0, func(s *shop) bool { return s.open>>13&1 == 1 && s.room > 0 })
		k++
	}
	t.Log("open cpu", (cpu()-t0)/time.Duration(k))
	t0 = cpu()
	k = 0
	for _, p := range w.orders {
		w.index.Nearest(p, 0, func(s *shop) bool { return false })
		k++
	}
	t.Log("nobody cpu", (cpu()-t0)/time.Duration(k))
	for _, N := range []int{100, 1000, 10000, 100000} {
		t0 = cpu()
		k = 0
		for k < 100000 {
			for _, p := range w.orders[:N] {
				n := 0
				w.index.Walk(p, 0, func(assign.Hit[shop]) bool { n++; return n < 8 })
				k++
			}
		}
		t.Log(N, "walk8 cpu", (cpu()-t0)/time.Duration(k))
	}
}

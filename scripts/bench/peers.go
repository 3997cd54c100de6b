package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"doorstep/geo"
)

// The peers are what people would use to find the nearest store that is open, has room and has the goods. All
// are asked the same questions of the same stores, and every answer is compared with ours before anything is
// timed. Then they take turns with ours, round by round, each round with questions it has not been timed
// with before. CPU time is counted, of this process and of the peer's server.
//
// Where there was a choice it was made for the peer: it gets told which stores are open with room (a bit in a
// column or an array), while ours reads opening hours, slots and counters; its server has all data in memory,
// prepared statements and a Unix socket, and nobody else to serve.

// peer answers questions about a world.
type peer interface {
	nearest(*ask) (answer, error)
	servers() ([]int, error) // processes besides ours that work for it
	close() error
}

// answer is a store and how far it is.
type answer struct {
	shop int
	m    float64
}

var nobody = answer{shop: -1}

func (w *world) answer(a *ask, shop int) answer {
	return answer{shop, geo.DistanceM(a.at, w.shops[shop].at)}
}

// toleranceM is how much farther a peer's store may be than the nearest: Redis keeps positions to half a
// metre, a map in the Mercator projection ranks as the sphere does to half a metre (see mercator).
const toleranceM = 1.0

// rival is a peer, and what is asked of us against it.
type rival struct {
	name        string
	start       func(b *bench, dir string, w *world) (peer, error)
	asks        int    // in a round: about a second's work
	goal        string // its id; "": there is none, the figure is for information
	floor, want float64
}

var rivals = []rival{
	{"tidwall/rtree Nearby", startNearby, 20_000, "P7", 5, 10},
	{"tidwall/rtree with growing boxes", startBoxes, 20_000, "", 0, 0},
	{"Redis GEOSEARCH + client filter", startRedis, 4_000, "P6-redis", 25, 60},
	{"PostGIS geometry", startPostGIS(geometry, ""), 4_000, "P6-geometry", 25, 60},
	{"PostGIS geography", startPostGIS(geography, ""), 2_000, "P6-geography", 60, 150},
	{"PostGIS geometry, its planner guided", startPostGIS(geometry, guidance), 4_000, "", 0, 0},
	{"PostGIS geography, its planner guided", startPostGIS(geography, guidance), 2_000, "", 0, 0},
	{"SQLite R*Tree with growing boxes", startSQLite, 4_000, "", 0, 0},
}

func (b *bench) peers() error {
	asks := b.size(100_000, 2_000)
	w, err := clustered(b.size(600_000, 20_000), asks)
	if err != nil {
		return err
	}
	err = b.compare(w, true)
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	w, missing := japan(b.data, b.size(1<<30, 5_000), asks)
	if absent(missing) {
		b.info("no shops of Japan: %s has no such file", b.data)
		return err
	}
	if missing != nil {
		return errors.Join(err, missing)
	}
	return errors.Join(err, b.compare(w, false))
}

// race is a world with ours in it.
type race struct {
	*bench
	w     *world
	ours  *ours
	goals bool // report as such; otherwise as information
}

// compare measures a world. A peer that cannot be had, or that answers wrongly, does not keep the others from it.
func (b *bench) compare(w *world, goals bool) error {
	b.progress("%s: filling the live index", w.name)
	o, err := newOurs(w)
	if err != nil {
		return err
	}
	runtime.GC() // what loading left behind is nobody's work
	r := &race{b, w, o, goals}
	if err := r.bruteForce(); err != nil {
		return err
	}
	if err := r.alone(); err != nil {
		return err
	}
	for i := range rivals {
		failed := r.against(&rivals[i])
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s, %s: %w", w.name, rivals[i].name, failed))
		}
	}
	return err
}

// bruteForce compares some of our answers with a loop over all stores.
func (r *race) bruteForce() error {
	for i := range min(200, len(r.w.asks)) {
		a, want := &r.w.asks[i], nobody
		for k := range r.w.shops {
			if !a.fits(&r.w.shops[k]) {
				continue
			}
			if x := r.w.answer(a, k); x.m <= a.radiusM && (want == nobody || x.m < want.m) {
				want = x
			}
		}
		if got := r.ours.nearest(i); got.m != want.m || (got.shop < 0) != (want.shop < 0) {
			return fmt.Errorf("%s: ours finds %v for %+v, brute force %v", r.w.name, got, *a, want)
		}
	}
	return nil
}

const rounds = 5

// alone measures ours without anybody else: time on the processor, allocations, and how even it is.
func (r *race) alone() error {
	var cpu []float64
	for range rounds {
		us, err := r.oursPerAsk(0, len(r.w.asks))
		if err != nil {
			return err
		}
		cpu = append(cpu, us)
	}
	p50, p99 := r.tail()
	allocs, found := r.allocs()
	mid := median(cpu)
	r.info("%s: %.2f us CPU a query (%.2f to %.2f in %d rounds of %d), p50 %.2f us, p99 %.2f us; %.0f %% find a store",
		r.w.name, mid, slices.Min(cpu), slices.Max(cpu), rounds, len(r.w.asks), p50, p99, 100*found)
	if !r.goals {
		return nil
	}
	what := fmt.Sprintf("nearest store that is open, with room and the SKUs, in its radius; %s, one thread", r.w.name)
	r.report(goal{ID: "P5-cpu", Value: mid, Floor: 8, Goal: 3, Less: true, Unit: "us", What: what + ", CPU a query",
		Notes: map[string]float64{"least": slices.Min(cpu), "most": slices.Max(cpu), "found": found}})
	r.report(goal{ID: "P5-allocs", Value: allocs, Floor: math.NaN(), Goal: 0, Less: true, What: what + ", allocations a query"})
	r.report(goal{ID: "P5-tail", Value: p99 / p50, Floor: 8, Goal: 4, Less: true, Unit: "times",
		What: what + ", p99/p50, each query its quickest of 5", Notes: map[string]float64{"p50_us": p50, "p99_us": p99}})
	return nil
}

// oursPerAsk asks ours n questions, the first being from, and returns the CPU time of one in microseconds.
func (r *race) oursPerAsk(from, n int) (float64, error) {
	here, _, err := r.perAsk(nil, from, n, func(i int) error {
		r.ours.nearest(i)
		return nil
	})
	return here, err
}

// perAsk times questions: the CPU time of one in microseconds, of this process and of the peer's servers. One
// thread asks: a client in Go that waits would otherwise be charged for the search for other work.
func (r *race) perAsk(servers []int, from, n int, nearest func(i int) error) (here, there float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	theirs, err := cpuOf(servers...)
	if err != nil {
		return 0, 0, err
	}
	own := ownCPU()
	for i := from; i < from+n; i++ {
		if err := nearest(i); err != nil {
			return 0, 0, err
		}
		if i%1024 == 0 && r.ctx.Err() != nil {
			return 0, 0, r.ctx.Err()
		}
	}
	own = ownCPU() - own
	after, err := cpuOf(servers...)
	each := func(t time.Duration) float64 { return float64(t.Nanoseconds()) / 1e3 / float64(n) }
	return each(own), each(after - theirs), err
}

// tail is the median and the 99th percentile in microseconds of wall time. Other programs share the machine:
// what a query itself takes is the least of five times, each after all others were asked.
func (r *race) tail() (p50, p99 float64) {
	least := make([]float64, len(r.w.asks))
	for round := range rounds {
		for i := range least {
			began := time.Now()
			r.ours.nearest(i)
			us := float64(time.Since(began).Nanoseconds()) / 1e3
			if round == 0 || us < least[i] {
				least[i] = us
			}
		}
	}
	slices.Sort(least)
	return least[len(least)/2], least[len(least)*99/100]
}

// allocs is how often a query takes memory from the heap, and how many queries find a store.
func (r *race) allocs() (perAsk, found float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range r.w.asks {
		if r.ours.nearest(i) != nobody {
			found++
		}
	}
	runtime.ReadMemStats(&after)
	n := float64(len(r.w.asks))
	return float64(after.Mallocs-before.Mallocs) / n, found / n
}

// against starts a peer, compares its answers with ours, and times both in turns.
func (r *race) against(v *rival) (err error) {
	r.progress("%s: %s", r.w.name, v.name)
	dir, err := os.MkdirTemp(r.dir, "peer-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := v.start(r.bench, dir, r.w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	others, err := r.check(p, v.asks)
	if err != nil {
		return err
	}
	return r.time(v, p, others)
}

// share is the number of questions of one round.
func (r *race) share() int { return len(r.w.asks) / rounds }

// check asks a peer the first n questions of every round, and counts the answers that are another store than
// ours, as far away within the tolerance.
func (r *race) check(p peer, n int) (others int, err error) {
	for i := range r.w.asks {
		if i%r.share() >= n {
			continue
		}
		if r.ctx.Err() != nil {
			return 0, r.ctx.Err()
		}
		a, want := &r.w.asks[i], r.ours.nearest(i)
		got, err := p.nearest(a)
		if err != nil {
			return 0, err
		}
		if got == want {
			continue
		}
		if !r.alike(a, got, want) {
			return 0, fmt.Errorf("finds %v for %+v, ours %v", got, *a, want)
		}
		others++
	}
	return others, nil
}

// alike says whether got is as good an answer as want, within the tolerance; none is as good as one at the rim.
func (r *race) alike(a *ask, got, want answer) bool {
	if got.shop >= 0 && !a.fits(&r.w.shops[got.shop]) {
		return false
	}
	away := func(x answer) float64 {
		if x == nobody {
			return a.radiusM
		}
		return x.m
	}
	return math.Abs(away(got)-away(want)) <= toleranceM
}

// time lets ours and a peer take turns. The ratio of a round is that of neighbours in time.
func (r *race) time(v *rival, p peer, others int) error {
	pids, err := p.servers()
	if err != nil {
		return err
	}
	n := min(v.asks, r.share())
	var ratios, clients, servers []float64
	for round := range rounds {
		from := round * r.share()
		mine, err := r.oursPerAsk(from, r.share())
		if err != nil {
			return err
		}
		here, there, err := r.perAsk(pids, from, n, func(i int) error {
			_, err := p.nearest(&r.w.asks[i])
			return err
		})
		if err != nil {
			return err
		}
		ratios, clients, servers = append(ratios, (here+there)/mine), append(clients, here), append(servers, there)
	}
	client, server, ratio := median(clients), median(servers), median(ratios)
	what := fmt.Sprintf("CPU a query of %s / of ours; %s, median of %d rounds of %d", v.name, r.w.name, rounds, n)
	where := fmt.Sprintf("%.1f us", client)
	if len(pids) > 0 {
		where = fmt.Sprintf("%.1f us in the client, %.1f us in the server", client, server)
	}
	details := fmt.Sprintf("%s; in %d of %d answers another store, as near within %g m", where, others, n*rounds, toleranceM)
	if v.goal == "" || !r.goals {
		r.info("%s times the %s: %s", number(ratio), what, details)
		return nil
	}
	r.report(goal{ID: v.goal, Value: ratio, Floor: v.floor, Goal: v.want, Unit: "times", What: what, Notes: map[string]float64{
		"client_us": client, "server_us": server, "least": slices.Min(ratios), "most": slices.Max(ratios)}})
	r.info("%s: %s", v.name, details)
	return nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

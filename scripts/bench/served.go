package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"doorstep/internal/db"
	"doorstep/scripts/bench/country"
)

// What the parts that measure the real program share: the programs, built once a run; databases with
// so many stores, imported once and copied for each server; servers; and the load generator.

// manyStores is the size that the goals speak of.
func (b *bench) manyStores() int { return b.size(600_000, 6_000) }

// size is the one for a whole run or for a quick one.
func (b *bench) size(whole, quick int) int {
	if b.quick {
		return quick
	}
	return whole
}

// seconds is size for times.
func (b *bench) seconds(whole float64) float64 {
	if b.quick {
		return min(whole, 1)
	}
	return whole
}

// program is the path of a program of this checkout, built when it is asked for first.
func (b *bench) program(pkg string) (string, error) {
	path := filepath.Join(b.dir, "bin", filepath.Base(pkg))
	if exists(path) {
		return path, nil
	}
	b.progress("building %s", pkg)
	_, err := b.output("go", "build", "-buildvcs=false", "-o", path, pkg)
	return path, err
}

// output runs a program to its end and returns what it printed.
func (b *bench) output(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		text := errs.Bytes()
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args[:min(2, len(args))], " "), err, text[max(0, len(text)-1000):])
	}
	return out.String(), nil
}

// doorstep runs a command of the program under test.
func (b *bench) doorstep(args ...string) (string, error) {
	bin, err := b.program("./cmd/doorstep")
	if err != nil {
		return "", err
	}
	out, err := b.output(bin, args...)
	return strings.TrimSpace(out), err
}

// stocked is a database with so many stores, a tenth of them with goods; it is for copying.
func (b *bench) stocked(stores int) (path string, err error) {
	path = filepath.Join(b.dir, fmt.Sprintf("stores-%d.db", stores))
	if exists(path) {
		return path, nil
	}
	b.progress("importing %d stores", stores)
	csv := filepath.Join(b.dir, "stores.csv")
	f, err := os.Create(csv)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.Remove(csv)) }()
	if err := errors.Join(country.WriteCSV(f, country.Stores(stores, country.Seed)), f.Close()); err != nil {
		return "", err
	}
	part := path + ".part"
	if _, err := b.doorstep("import", "stores", csv, "--db", part); err != nil {
		return "", err
	}
	if err := b.stock(part); err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

// stock puts goods on the shelf of every tenth store, as so many counts by hand would.
func (b *bench) stock(path string) (err error) {
	d, err := db.Open(b.ctx, path, db.Options{MaxRun: time.Minute})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.InTx(b.ctx, func(tx *db.Tx) error {
		for _, sku := range country.SKUs {
			_, err := tx.Exec(`INSERT INTO stock (store_key, sku, on_hand, reserved, updated_at) SELECT key, ?, 10000, 0, ? FROM store WHERE (key >> 10) % 10 = 0`,
				sku, tx.Now().UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// copyOf is a copy of a database that nobody has open.
func (b *bench) copyOf(path string) (string, error) {
	to, err := os.MkdirTemp(b.dir, "db-")
	if err != nil {
		return "", err
	}
	copied := filepath.Join(to, "doorstep.db")
	_, err = b.output("cp", "--reflink=auto", path, copied)
	return copied, err
}

// network is a Doorstep server that is measured.
type network struct {
	*server
	b         *bench
	db        string
	url       string
	merchants string // their keys, with commas between
	staff     string // keys of dispatchers, likewise
	readyCPU  time.Duration
	readyWall time.Duration
	seed      int // of the orders sent last
}

// serve starts a server on a database, with what a settings file says, and waits until it is ready.
func (b *bench) serve(path, settings string) (_ *network, err error) {
	n := &network{b: b, db: path}
	if n.merchants, err = b.keys(path, "--role", "merchant", "--merchant"); err != nil {
		return nil, err
	}
	if n.staff, err = b.keys(path, "--role", "dispatcher", "--name"); err != nil {
		return nil, err
	}
	bin, err := b.program("./cmd/doorstep")
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	file := filepath.Join(folder, "settings.toml")
	if err := os.WriteFile(file, []byte("log_level = \"info\"\nmetrics_listen = \"127.0.0.1:0\"\n"+settings), 0o600); err != nil {
		return nil, err
	}
	began := time.Now()
	n.server, err = startServer(filepath.Join(folder, "server.log"), nil, bin,
		"serve", "--db", path, "--listen", "127.0.0.1:0", "--config", file)
	if err != nil {
		return nil, err
	}
	if err = n.ready(2*time.Minute, n.answers); err == nil {
		n.readyWall = time.Since(began)
		n.readyCPU, err = cpuOf(n.pid())
	}
	if err != nil {
		return nil, errors.Join(err, n.stop(syscall.SIGKILL))
	}
	return n, nil
}

// senders is how many keys of a role there are: one alone is held to 20,000 requests a second.
const senders = 6

func (b *bench) keys(path string, args ...string) (string, error) {
	keys := make([]string, senders)
	for i := range keys {
		var err error
		if keys[i], err = b.doorstep(slices.Concat([]string{"key", "create", "--db", path}, args, []string{fmt.Sprintf("Bench %d", i)})...); err != nil {
			return "", err
		}
	}
	return strings.Join(keys, ","), nil
}

// What a server says in its first lines.
var (
	listening = regexp.MustCompile(`listening on (http://\S+)`)
	metricsAt = regexp.MustCompile(`http://[^"\s]+/metrics`)
)

func (n *network) answers() error {
	if n.url == "" {
		text, err := os.ReadFile(n.log)
		if err != nil {
			return err
		}
		m := listening.FindSubmatch(text)
		if m == nil {
			return errors.New("it has not said where it listens")
		}
		n.url = string(m[1])
	}
	return n.call(http.MethodGet, "/readyz", "", "", nil)
}

// close stops the server and removes its database.
func (n *network) close() error {
	return errors.Join(n.stop(syscall.SIGTERM), os.RemoveAll(filepath.Dir(n.db)))
}

// call asks the server once, with the first of some keys and perhaps a body; out is what its JSON is
// read into, or nil.
func (n *network) call(method, path, keys, body string, out any) error {
	ctx, cancel := context.WithTimeout(n.b.ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if key, _, _ := strings.Cut(keys, ","); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %.400s", method, path, res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// metric is the sum of a counter over its labels, as the server's metrics page has it.
func (n *network) metric(name string) (sum float64, err error) {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(n.b.ctx, http.MethodGet, string(metricsAt.Find(text)), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	found := false
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok && strings.ContainsAny(rest[:1], " {") {
			value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum, found = sum+value, true
		}
	}
	if !found {
		return 0, fmt.Errorf("the server has no metric %s", name)
	}
	return sum, nil
}

// memory is what the server keeps in RAM, in bytes; anonymous leaves out pages of files.
func (n *network) memory() (resident, anonymous float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid()))
	if err != nil {
		return 0, 0, err
	}
	of := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), name+":")
		kib, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
		return kib * 1024
	}
	return of("VmRSS"), of("RssAnon"), nil
}

// loaded is what the load generator found out.
type loaded struct {
	Orders    int     `json:"orders"` // requests that were answered as they should be
	Marked    int     `json:"marked"` // of which found a store
	Errors    int     `json:"errors"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	CPU       float64 `json:"cpu_s"`
	ServerCPU float64 `json:"server_cpu_s"`
	First     string  `json:"first_error"`
}

// cost is the server's CPU for one of them, in microseconds.
func (l loaded) cost() float64 { return l.ServerCPU / float64(l.Orders) * 1e6 }

// load runs the load generator against the server; see scripts/bench/load for modes and flags.
func (n *network) load(mode, keys string, flags ...string) (l loaded, err error) {
	bin, err := n.b.program("./scripts/bench/load")
	if err != nil {
		return l, err
	}
	args := []string{mode, "-url", n.url, "-key", keys, "-pid", strconv.Itoa(n.pid())}
	out, err := n.b.output(bin, append(args, flags...)...)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return l, err
	}
	if l.Orders == 0 || l.Errors > l.Orders/1000 {
		return l, fmt.Errorf("load %s: %d good answers and %d errors, the first: %s", mode, l.Orders, l.Errors, l.First)
	}
	return l, nil
}

// orders has the load generator send orders from a country with so many stores.
func (n *network) orders(stores int, flags ...string) (loaded, error) {
	l, err := n.load("orders", n.merchants, append(n.drawn(stores), flags...)...)
	if err == nil && l.Marked < l.Orders*95/100 {
		err = fmt.Errorf("only %d of %d orders found a store", l.Marked, l.Orders)
	}
	return l, err
}

// drawn are the flags of the next orders. Servers are sent the same ones, run by run.
func (n *network) drawn(stores int) []string {
	n.seed++
	return []string{"-stores", strconv.Itoa(stores), "-items", "0.1", "-seed", strconv.Itoa(n.seed)}
}

func forSeconds(s float64) []string { return []string{"-seconds", strconv.FormatFloat(s, 'f', -1, 64)} }
func times(n int) []string          { return []string{"-seconds", "60", "-count", strconv.Itoa(n)} }

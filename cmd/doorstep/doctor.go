package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/partner"

	"github.com/spf13/cobra"
)

// verdict is what the doctor says about one thing.
type verdict string

const (
	healthy verdict = "ok"
	watch   verdict = "warn" // works, but somebody should look at it
	sick    verdict = "fail"
)

// finding is one line of the doctor; hint says what to do about it.
type finding struct {
	verdict            verdict
	what, detail, hint string
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "doctor", Short: "Check what a server needs, and say how to mend what is missing", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			findings := append(a.checkDatabase(ctx, c), checkPort(ctx, c), checkZones(c), checkFiles(c))
			failed := 0
			for _, f := range findings {
				fmt.Fprintf(a.out, "%-5s %-11s %s\n", f.verdict, f.what, f.detail)
				if f.hint != "" && f.verdict != healthy {
					fmt.Fprintf(a.out, "%-17s └ %s\n", "", f.hint)
				}
				if f.verdict == sick {
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("checks that failed: %d", failed)
			}
			return nil
		})}
	bind(cmd, asWritten, "listen", "max_streams", "default_time_zone")
	return cmd
}

func (a *app) checkDatabase(ctx context.Context, c *config) []finding {
	shown := db.Redact(c.DB)
	var out []finding
	if db.EngineOf(c.DB) == db.SQLite {
		out = append(out, checkDisk(filepath.Dir(sqlitePath(c))))
		if _, err := os.Stat(sqlitePath(c)); errors.Is(err, os.ErrNotExist) {
			if err := folderOf(c); err != nil {
				return append(out, finding{sick, "database", explain(err), "or name another path with --db"})
			}
			return append(out, finding{watch, "database", "there is none at " + shown, "doorstep serve makes it"})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // of a large database, a look at every page
	defer cancel()
	opening, stop := context.WithTimeout(ctx, 20*time.Second)
	d, err := db.Open(opening, c.DB, db.Options{Log: a.logger(c)})
	stop()
	if err != nil {
		hint := "is the path right, and may this user read and write it?"
		if db.EngineOf(c.DB) == db.Postgres {
			hint = "is the server up, and do host, user and database exist? psql with the same URL tells more"
		}
		return append(out, finding{sick, "database", explain(err), hint})
	}
	defer d.Close()
	out = append(out, finding{healthy, "database", fmt.Sprintf("%s, %s, schema is up to date", shown, d.Engine()), ""})
	return append(out, checkIntegrity(ctx, d), checkClock(ctx, d), countRows(ctx, d))
}

// folderOf reports what stands in the way of making the database.
func folderOf(c *config) error {
	if c.origin["db"].from == "default" {
		return nil
	}
	return preparePath(c, true)
}

func checkIntegrity(ctx context.Context, d *db.DB) finding {
	if err := d.Check(ctx); err != nil {
		return finding{sick, "integrity", explain(err), "stop the server and restore the newest backup: doorstep restore FILE --db NEW"}
	}
	return finding{healthy, "integrity", "every page and reference is sound", ""}
}

// checkClock compares with the log: its newest entry cannot be younger than now.
func checkClock(ctx context.Context, d *db.DB) finding {
	log := event.NewLog(d)
	defer log.Close()
	last, err := log.Last(ctx)
	if err != nil {
		return finding{sick, "clock", explain(err), ""}
	}
	return clockFinding(d.Now(), ident.Time(last))
}

func clockFinding(now, newest time.Time) finding {
	const built = 2026 // no machine that runs this can be in an earlier year
	switch ahead := newest.Sub(now); {
	case now.Year() < built:
		return finding{sick, "clock", "this machine thinks it is " + minute(now), "set it, and keep it by NTP: offers and promises go by it"}
	case ahead > time.Minute:
		return finding{sick, "clock", fmt.Sprintf("the newest event is %s ahead of this machine", ahead.Round(time.Second)), "set the clock, and keep it by NTP"}
	}
	return finding{healthy, "clock", minute(now), ""}
}

func countRows(ctx context.Context, d *db.DB) finding {
	var n struct {
		Stores, Photos, Bytes int64
	}
	err := d.Read(ctx).Get(&n, `SELECT (SELECT count(*) FROM store WHERE removed_at IS NULL) AS stores, count(*) AS photos,
		CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes FROM photo`)
	if err != nil {
		return finding{sick, "contents", explain(err), ""}
	}
	detail := fmt.Sprintf("%d stores, %d photos (%s)", n.Stores, n.Photos, bytesText(uint64(n.Bytes)))
	if n.Stores == 0 {
		return finding{watch, "contents", detail, "orders need stores: doorstep import stores FILE"}
	}
	return finding{healthy, "contents", detail, ""}
}

func checkDisk(folder string) finding {
	// The folder of a database to come may not be there yet; it will be on the same disk as its parent.
	for {
		if _, err := os.Stat(folder); err == nil || folder == filepath.Dir(folder) {
			break
		}
		folder = filepath.Dir(folder)
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return finding{watch, "disk", err.Error(), ""}
	}
	return diskFinding(folder, s.Bavail*uint64(s.Bsize))
}

func diskFinding(folder string, free uint64) finding {
	f := finding{healthy, "disk", fmt.Sprintf("%s free in %s", bytesText(free), folder), ""}
	switch {
	case free < 100e6:
		f.verdict, f.hint = sick, "make room: a full disk refuses every order with 507"
	case free < 2e9:
		f.verdict, f.hint = watch, "make room: orders need about 1 KB each, photos about 100 KB"
	}
	return f
}

func checkPort(ctx context.Context, c *config) finding {
	l, err := listen(c.Listen, "--listen")
	if err == nil {
		_ = l.Close()
		return finding{healthy, "port", c.Listen + " is free", ""}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if errors.Is(err, syscall.EADDRINUSE) {
		if req, e := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Listen+"/readyz", nil); e == nil {
			if res, e := http.DefaultClient.Do(req); e == nil {
				_ = res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return finding{healthy, "port", "a server answers at " + c.Listen + " already", ""}
				}
			}
		}
	}
	return finding{watch, "port", explain(err), ""}
}

// checkZones asks for zones that daylight saving makes hard, and the default.
func checkZones(c *config) finding {
	for _, name := range []string{"Africa/Nairobi", "America/New_York", "Asia/Shanghai", c.Stores.TimeZone} {
		if name == "" {
			continue
		}
		if _, err := partner.NewZone(name, ""); err != nil {
			return finding{sick, "time zones", explain(err), "is ZONEINFO set to a file that is damaged?"}
		}
	}
	return finding{healthy, "time zones", "known", ""}
}

// checkFiles compares the limit of open files with the streams that may be open.
func checkFiles(c *config) finding {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return finding{watch, "open files", err.Error(), ""}
	}
	if need := uint64(c.MaxStreams) + 500; l.Cur < need {
		return finding{watch, "open files", fmt.Sprintf("at most %d: too few for %d streams, so the server allows fewer", l.Cur, c.MaxStreams),
			fmt.Sprintf("raise it (ulimit -n %d) or lower --max-streams", need)}
	}
	return finding{healthy, "open files", fmt.Sprintf("at most %d", l.Cur), ""}
}

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"doorstep/internal/db"

	"github.com/spf13/cobra"
)

// version is that of the module, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := cmp.Or(info.Main.Version, "(devel)")
	if v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Show the versions of Doorstep and of what it is built with", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.out, "doorstep", version())
			fmt.Fprintln(a.out, "go      ", runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
			fmt.Fprintln(a.out, "SQLite  ", db.SQLiteVersion())
			info, _ := debug.ReadBuildInfo()
			for _, m := range []struct{ name, path string }{{"driver", "github.com/mattn/go-sqlite3"}, {"H3", "github.com/uber/h3-go/v4"}, {"pgx", "github.com/jackc/pgx/v5"}} {
				for i := 0; info != nil && i < len(info.Deps); i++ {
					if info.Deps[i].Path == m.path {
						fmt.Fprintf(a.out, "%-8s %s (%s)\n", m.name, info.Deps[i].Version, m.path)
					}
				}
			}
			return nil
		}}
}

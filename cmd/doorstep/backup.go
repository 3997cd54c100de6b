package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"doorstep/internal/db"

	"github.com/spf13/cobra"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{Use: "backup FILE", Short: "Write a consistent copy of the database, also while it is used", Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				if err := d.Backup(ctx, args[0]); err != nil {
					return folderHint(err, args[0])
				}
				info, err := os.Stat(args[0])
				if err == nil {
					fmt.Fprintf(a.out, "%s (%s)\n", args[0], bytesText(uint64(info.Size())))
				}
				return err
			})
		})}
}

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{Use: "restore FILE", Short: "Make the database of --db from a backup; overwrites nothing", Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			if db.EngineOf(c.DB) != db.SQLite {
				return errors.New("restore makes SQLite databases: for PostgreSQL use pg_restore")
			}
			if err := preparePath(c, true); err != nil {
				return err
			}
			if err := db.Restore(ctx, args[0], c.DB); err != nil {
				return err
			}
			fmt.Fprintln(a.out, "restored to", sqlitePath(c))
			return nil
		})}
}

func folderHint(err error, path string) error {
	if folder := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: mkdir -p %s", folder, folder)
	}
	return err
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	v, units := float64(n), []string{"B", "KB", "MB", "GB", "TB"}
	for len(units) > 1 && v >= 1000 {
		v, units = v/1000, units[1:]
	}
	return fmt.Sprintf("%.3g %s", v, units[0])
}

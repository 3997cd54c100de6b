package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"doorstep/internal/db"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func (a *app) importStoresCommand() *cobra.Command {
	var dryRun, asJSON bool
	cmd := &cobra.Command{Use: "stores FILE", Short: "Make or update stores from CSV or NDJSON; - reads stdin", Args: exactly(1),
		Long: "Make or update stores from CSV or NDJSON; - reads stdin. A store is known by its external_id, so the same file again\n" +
			"changes nothing. Good rows are kept when others fail. A running server takes over the change within a second.",
		Example: "  doorstep import stores stores.csv --time-zone America/New_York --country US --dry-run",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.importFile(ctx, c, args[0], asJSON, func(ctx context.Context, d *db.DB, r *bufio.Reader, progress func(int)) (partner.ImportResult, error) {
				return partner.NewBook(d, c.Stores).Import(ctx, r, partner.ImportOptions{Format: formatOf(args[0], r), DryRun: dryRun, Progress: progress})
			})
		})}
	importFlags(cmd, &dryRun, &asJSON)
	bind(cmd, brief, networkDefaults()...)
	return cmd
}

func (a *app) importDemandCommand() *cobra.Command {
	var dryRun, asJSON bool
	cmd := &cobra.Command{Use: "demand FILE", Short: "Keep past demand from CSV, for the plans of campaigns; - reads stdin", Args: exactly(1),
		Long: "Keep past demand from CSV: date, external_id of a store or h3_cell, sku, units, and if known stockout_hours and discount.\n" +
			"A row for the same day, place and SKU replaces the one before, and counts there instead of the network's own orders,\n" +
			"so the same file again changes nothing. Good rows are kept when others fail. A file may be packed with gzip; - reads stdin.",
		Example: "  doorstep import demand sales.csv.gz --dry-run",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.importFile(ctx, c, args[0], asJSON, func(ctx context.Context, d *db.DB, r *bufio.Reader, progress func(int)) (partner.ImportResult, error) {
				return prestock.NewBook(d, partner.NewBook(d, c.Stores)).ImportDemand(ctx, r, prestock.DemandOptions{DryRun: dryRun, Progress: progress})
			})
		})}
	importFlags(cmd, &dryRun, &asJSON)
	return cmd
}

func importFlags(cmd *cobra.Command, dryRun, asJSON *bool) {
	cmd.Flags().BoolVar(dryRun, "dry-run", false, "tell what would happen, change nothing")
	cmd.Flags().BoolVar(asJSON, "json", false, "print the result as the API does")
}

// importFile reads a file into the database and tells what became of its rows. Any row that failed
// is an error.
func (a *app) importFile(ctx context.Context, c *config, name string, asJSON bool,
	read func(context.Context, *db.DB, *bufio.Reader, func(int)) (partner.ImportResult, error)) error {
	file, rows, err := a.openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return a.onDB(ctx, c, true, func(ctx context.Context, d *db.DB) error {
		progress, finish := a.progress(rows)
		lines, err := unpacked(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		res, err := read(ctx, d, lines, progress)
		finish()
		if err != nil && res.Rows() == 0 {
			return err
		}
		for _, e := range res.Errors {
			fmt.Fprintln(a.err, rowError(e))
		}
		if res.ErrorsOmitted > 0 {
			fmt.Fprintf(a.err, "… and %d errors more\n", res.ErrorsOmitted)
		}
		if asJSON {
			err = errors.Join(err, writeJSON(a.out, importJSON(res)))
		} else {
			a.sayImport(res)
		}
		if res.Failed > 0 {
			err = errors.Join(err, fmt.Errorf("%d of %d rows failed", res.Failed, res.Rows()))
		}
		return err
	})
}

// unpacked is what a file holds, also when gzip has packed it.
func unpacked(file io.Reader) (*bufio.Reader, error) {
	r := bufio.NewReaderSize(file, 64<<10)
	if !packed(r) {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(z, 64<<10), nil
}

func packed(r *bufio.Reader) bool {
	start, _ := r.Peek(2)
	return bytes.Equal(start, []byte{0x1f, 0x8b})
}

func rowError(e partner.RowError) string {
	field := e.Field
	if field != "" {
		field += ": "
	}
	return fmt.Sprintf("row %d: %s%s (%s)", e.Row, field, e.Detail, e.Code)
}

func (a *app) sayImport(res partner.ImportResult) {
	if res.DryRun {
		fmt.Fprint(a.out, "dry run, nothing was changed: ")
	}
	fmt.Fprintf(a.out, "created %d, updated %d, unchanged %d, failed %d\n", res.Created, res.Updated, res.Unchanged, res.Failed)
	if len(res.UnknownColumns) > 0 {
		fmt.Fprintln(a.out, "unknown columns, not used:", strings.Join(res.UnknownColumns, ", "))
	}
}

func importJSON(res partner.ImportResult) any {
	type rowError struct {
		Row    int    `json:"row"`
		Field  string `json:"field"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	errs := make([]rowError, len(res.Errors))
	for i, e := range res.Errors {
		errs[i] = rowError(e)
	}
	return struct {
		Created        int        `json:"created"`
		Updated        int        `json:"updated"`
		Unchanged      int        `json:"unchanged"`
		Failed         int        `json:"failed"`
		Errors         []rowError `json:"errors"`
		UnknownColumns []string   `json:"unknown_columns"`
	}{res.Created, res.Updated, res.Unchanged, res.Failed, errs, append([]string{}, res.UnknownColumns...)}
}

// openFile opens a file, or stdin for "-", and estimates its rows; -1: not known, as of a packed one.
func (a *app) openFile(name string) (io.ReadCloser, int, error) {
	if name == "-" {
		return io.NopCloser(a.in), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if !isTerminal(a.err) || strings.EqualFold(filepath.Ext(name), ".gz") {
		return f, -1, nil
	}
	// Quoted line breaks make it an upper bound: good enough for a bar.
	rows, chunk := 0, make([]byte, 64<<10)
	for {
		n, err := f.Read(chunk)
		rows += bytes.Count(chunk[:n], []byte{'\n'})
		if err != nil {
			break
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("%s is a pipe: use - to read one", name)
	}
	return f, max(rows, 1), nil
}

// progress draws a bar on a terminal, and nothing anywhere else.
func (a *app) progress(rows int) (step func(done int), finish func()) {
	if !isTerminal(a.err) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(rows, progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription("rows"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"), progressbar.OptionClearOnFinish())
	return func(done int) {
		if rows > 0 {
			done = min(done, rows)
		}
		_ = bar.Set(done)
	}, func() { _ = bar.Finish() }
}

// formatOf goes by the name, and by the first character where that says nothing.
func formatOf(name string, r *bufio.Reader) string {
	switch strings.ToLower(filepath.Ext(strings.TrimSuffix(name, ".gz"))) {
	case ".csv", ".tsv", ".txt":
		return partner.CSV
	case ".ndjson", ".jsonl", ".json":
		return partner.NDJSON
	}
	start, _ := r.Peek(512)
	if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\ufeff")), " \t\r\n"), []byte("{")) {
		return partner.NDJSON
	}
	return partner.CSV
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"doorstep/internal/audit"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"

	"github.com/spf13/cobra"
)

func (a *app) auditCommands() *cobra.Command {
	return group("audit", "Find what was changed behind the program's back",
		a.auditVerifyCommand(), a.auditAnchorCommand(), a.auditKeyCommand())
}

// unableError says that there is no verdict. It has a code of its own: 1 stands for findings.
type unableError struct{ error }

func (u unableError) Unwrap() error { return u.error }

var errFindings = errors.New("not everything is as it was written")

func (a *app) auditVerifyCommand() *cobra.Command {
	var asJSON bool
	var anchor, bundle, key string
	cmd := &cobra.Command{Use: "verify [ORDER]", Short: "Check the hashes of everything, or of one order; name what was changed",
		Long: "Check the hashes of everything, or of one order, and name what was changed. Works while the server runs.\n" +
			"Everything is the log, and of orders every row and photo. Who takes an order out with all its events, or writes\n" +
			"hashes anew, shows against a line of doorstep audit anchor that is kept elsewhere, and only there.\n" +
			"With --bundle it checks a file of doorstep export order, and needs no database.\n" +
			"Exit status: 0 all is as it was written, 1 something is not, 2 it could not be checked.",
		Example: "  doorstep audit verify\n  doorstep audit verify ext:A-1001\n  doorstep audit verify --anchor \"$(cat anchor.txt)\"\n" +
			"  doorstep audit verify --bundle A-1001.zip --key ed25519:…",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			if len(args) > 1 {
				return usage("one order at a time, or none for everything")
			}
			if bundle != "" || key != "" {
				if bundle == "" || len(args) > 0 || anchor != "" {
					return usage("--bundle FILE goes with --key alone, and --key only with it")
				}
				return a.verifyBundle(bundle, key, asJSON)
			}
			var o audit.Options
			if anchor != "" {
				if len(args) > 0 {
					return usage("--anchor is of the whole log, and goes with no order")
				}
				at, err := audit.ParseAnchor(anchor)
				if err != nil {
					return usage("--anchor: %w", err)
				}
				o.Anchor = &at
			}
			err := a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) (err error) {
				if len(args) > 0 {
					if o.Order, err = findOrder(ctx, d, args[0]); err != nil {
						return err
					}
				}
				return a.verify(ctx, d, o, asJSON)
			})
			if err == nil || errors.Is(err, errFindings) {
				return err
			}
			return unableError{err}
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line for each finding and one for the sum")
	cmd.Flags().StringVar(&bundle, "bundle", "", "check this `FILE` of doorstep export order instead")
	cmd.Flags().StringVar(&key, "key", "", "the `KEY` that must have signed the bundle: doorstep audit key prints it")
	cmd.Flags().StringVar(&anchor, "anchor", "", "a `LINE` that doorstep audit anchor has printed: the log up to there must be the same")
	return cmd
}

// verify prints what is found, line by line.
func (a *app) verify(ctx context.Context, d *db.DB, o audit.Options, asJSON bool) error {
	if o.Order == 0 {
		o.Progress = everyFewSeconds(a.err)
	}
	sum, err := audit.Verify(ctx, d, o, func(f audit.Finding) error { return a.tellFinding(f, asJSON) })
	if err != nil {
		return err
	}
	return a.verdict(sum, asJSON)
}

func (a *app) tellFinding(f audit.Finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.out).Encode(f)
	}
	_, err := fmt.Fprintln(a.out, f)
	return err
}

func (a *app) verdict(sum audit.Summary, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(a.out).Encode(sum); err != nil {
			return err
		}
	} else if sum.Findings == 0 {
		fmt.Fprintf(a.out, "all is as it was written: %d orders, %d events, %d photos\n", sum.Orders, sum.Events, sum.Photos)
	}
	if sum.Findings > 0 {
		return fmt.Errorf("%d findings: %w", sum.Findings, errFindings)
	}
	return nil
}

// everyFewSeconds says on w how far it is.
func everyFewSeconds(w io.Writer) func(step string, done, of int64) {
	said := time.Now()
	return func(step string, done, of int64) {
		if time.Since(said) < 2*time.Second {
			return
		}
		said = time.Now()
		if of > 0 {
			step = fmt.Sprintf("of %d %s", of, step)
		}
		fmt.Fprintln(w, done, step)
	}
}

func (a *app) auditAnchorCommand() *cobra.Command {
	return &cobra.Command{Use: "anchor", Short: "Print a line that no rewritten history will fit; keep it elsewhere", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				at, err := audit.MakeAnchor(ctx, d)
				if err == nil {
					fmt.Fprintln(a.out, at)
				}
				return err
			})
		})}
}

func (a *app) auditKeyCommand() *cobra.Command {
	return &cobra.Command{Use: "key", Short: "Print the public key that bundles of this installation are checked by", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				key, err := audit.PublicKey(ctx, d)
				if err == nil {
					fmt.Fprintln(a.out, key)
				}
				return err
			})
		})}
}

// verifyBundle prints what is wrong with a bundle.
func (a *app) verifyBundle(path, key string, asJSON bool) error {
	if key != "" {
		if _, err := audit.ParsePublic(key); err != nil {
			return usage("--key: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return unableError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return unableError{err}
	}
	b, found, err := audit.VerifyBundle(f, info.Size(), key)
	if err != nil {
		return unableError{fmt.Errorf("%s: %w", path, err)}
	}
	for _, f := range found {
		if err := a.tellFinding(f, asJSON); err != nil {
			return err
		}
	}
	if err := a.verdict(b.Summary, asJSON); err != nil || asJSON {
		return err
	}
	fmt.Fprintf(a.out, "order %s, exported %s, signed by %s\n", b.OrderID, minute(b.ExportedAt), b.PublicKey)
	if key == "" {
		fmt.Fprintln(a.err, "whose key that is, only --key can tell")
	}
	return nil
}

func (a *app) exportOrderCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "order ORDER -o FILE.zip", Short: "Write all that proves an order's delivery, signed, to be checked anywhere; - is stdout", Args: exactly(1),
		Example: "  doorstep export order ext:A-1001 -o A-1001.zip\n  doorstep audit verify --bundle A-1001.zip",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			if out == "" {
				return usage("-o FILE is needed; - is stdout")
			}
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				key, err := findOrder(ctx, d, args[0])
				if err != nil {
					return err
				}
				return a.exportOrder(ctx, d, key, out)
			})
		})}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the `FILE` to make; one that exists is left alone")
	return cmd
}

func (a *app) exportOrder(ctx context.Context, d *db.DB, key int64, path string) (err error) {
	w := a.out
	if path != "-" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it holds personal data
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists: an export overwrites nothing", path)
		} else if err != nil {
			return folderHint(err, path)
		}
		defer func() {
			if e := f.Close(); err == nil {
				err = e
			}
			if err != nil {
				_ = os.Remove(path)
			}
		}()
		w = f
	}
	found, err := audit.Export(ctx, d, key, w)
	for _, f := range found {
		fmt.Fprintln(a.err, "warning:", f)
	}
	return err
}

// findOrder finds an order by its id, or by ext: and the merchant's own.
func findOrder(ctx context.Context, d *db.DB, ref string) (int64, error) {
	external, isExternal := strings.CutPrefix(ref, "ext:")
	if !isExternal {
		key, ok := d.Names().Parse(ident.Order, ref)
		if !ok {
			return 0, fmt.Errorf("there is no order %s: give its id (ord_…), or ext: and its external id", ref)
		}
		return key, nil
	}
	found, err := order.NewBook(d).FindExternal(ctx, external, 0)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fault.Missing("order")
	case len(found) > 1:
		return 0, fmt.Errorf("several merchants have an order %s: name it by its id", external)
	}
	return found[0].Key, nil
}

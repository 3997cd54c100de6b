package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/privacy"

	"github.com/spf13/cobra"
)

func (a *app) eraseCommand() *cobra.Command {
	var phone string
	var yes, dry, compact bool
	cmd := &cobra.Command{Use: "erase [ORDER ...]", Short: "Take recipients out of orders that have ended, for good, and show that nothing is left",
		Example: "  doorstep erase ord_0h3… --yes\n  doorstep erase --phone +254712345678 --dry-run",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			if (len(args) == 0) == (phone == "") {
				return usage("name the orders, or a recipient by --phone")
			}
			// Who mistypes a number must not read that there is nothing left to erase.
			number, ok := order.Phone(phone)
			if phone != "" && !ok {
				return usage("that is no phone number: + and the country code, like +254712345678")
			}
			if !yes && !dry {
				return usage("this cannot be undone: say --yes, or look first with --dry-run")
			}
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				orders := order.NewBook(d)
				keys, err := a.toErase(ctx, d, orders, args, number)
				if err != nil || dry {
					return err
				}
				return a.erase(ctx, privacy.NewBook(d, orders, 0), d, keys, compact)
			})
		})}
	f := cmd.Flags()
	f.StringVar(&phone, "phone", "", "every ended order of the recipient with this `NUMBER`, in E.164")
	f.BoolVar(&yes, "yes", false, "do it")
	f.BoolVar(&dry, "dry-run", false, "only say which orders it would be")
	f.BoolVar(&compact, "compact", false, "write the whole database anew if a trace is left; nobody can write meanwhile")
	return cmd
}

// toErase names the orders, and says so of each.
func (a *app) toErase(ctx context.Context, d *db.DB, orders *order.Book, args []string, phone string) ([]int64, error) {
	var keys []int64
	if phone != "" {
		ended, open, err := orders.ByPhone(ctx, phone)
		if err != nil {
			return nil, err
		}
		if open > 0 {
			fmt.Fprintf(a.err, "%d orders are still open and are left alone: ask again when they have ended\n", open)
		}
		keys = ended
	}
	for _, arg := range args {
		key, err := findOrder(ctx, d, arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		fmt.Fprintln(a.out, d.Names().Name(ident.Order, key))
	}
	if len(keys) == 0 {
		fmt.Fprintln(a.err, "there is no such order that has ended and is not erased yet")
	}
	return keys, nil
}

// proveWithin bounds the wait for readers of the past.
const proveWithin = 30 * time.Second

func (a *app) erase(ctx context.Context, b *privacy.Book, d *db.DB, keys []int64, compact bool) error {
	var texts []string
	for _, key := range keys {
		some, err := b.Texts(ctx, key)
		if err != nil {
			return err
		}
		texts = append(texts, some...)
		if _, err := b.Erase(ctx, key); err != nil {
			return fmt.Errorf("%s: %w", d.Names().Name(ident.Order, key), err)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if d.Engine() != db.SQLite {
		fmt.Fprintln(a.err, "PostgreSQL keeps old versions of rows until VACUUM and in its own log and archives: see its manual")
		return nil
	}
	proof, err := a.proof(ctx, b, texts)
	if err == nil && len(proof.Files) > 0 && compact {
		if err = d.Compact(ctx); err == nil {
			proof, err = a.proof(ctx, b, texts)
		}
	}
	if err != nil {
		return fmt.Errorf("erased, but not proved: %w", err)
	}
	if len(proof.Files) == 0 {
		fmt.Fprintf(a.err, "erased; none of %d texts stands in the database or its log (%s read). Backups and exports made before still hold them\n",
			len(texts), bytesText(uint64(proof.Read)))
		return nil
	}
	return errors.New("erased, but one of the texts still stands in the database: another order or person may share it (look with --phone --dry-run); if none does, run again with --compact")
}

func (a *app) proof(ctx context.Context, b *privacy.Book, texts []string) (privacy.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, proveWithin)
	defer cancel()
	return b.Prove(ctx, texts)
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/partner"

	"github.com/spf13/cobra"
)

func (a *app) keyCreateCommand() *cobra.Command {
	var role, store, expires string
	var k auth.NewKey
	cmd := &cobra.Command{Use: "create --role ROLE", Short: "Make a key and print it: nobody can show it again", Args: exactly(0),
		Example: "  doorstep key create --role merchant --merchant \"Corner Books\"\n  doorstep key create --role store --store ext:756126 --expires 90d",
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			k.Role = auth.Role(role)
			if role == "" {
				return usage("--role is needed: admin, dispatcher, merchant or store")
			}
			var err error
			if k.ExpiresAt, err = parseExpiry(expires, time.Now()); err != nil {
				return err
			}
			return a.onDB(ctx, c, true, func(ctx context.Context, d *db.DB) error {
				if store != "" {
					if k.Store, err = findStore(ctx, d, store); err != nil {
						return err
					}
				}
				secret, _, err := auth.NewBook(d).Create(ctx, k)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.out, secret)
				return err
			})
		})}
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "`ROLE`: admin, dispatcher, merchant or store")
	f.StringVar(&store, "store", "", "of a store key: the store's `ID`, or ext: and its external id")
	f.StringVar(&k.MerchantName, "merchant", "", "of a merchant key: the merchant's `NAME`; an unknown one is made")
	f.StringVar(&k.Name, "name", "", "`TEXT` that tells keys apart in a list")
	f.StringVar(&expires, "expires", "", "`WHEN` the key ends: 90d, 12h, 2027-01-31 or RFC 3339; empty: never")
	return cmd
}

// parseExpiry reads a length of time from now, or a date in UTC, or an instant.
func parseExpiry(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	t, ok := expiryOf(s, now)
	if !ok {
		return nil, usage("--expires %q: give 90d, 12h, 2027-01-31 or RFC 3339", s)
	}
	if !t.After(now) {
		return nil, usage("--expires %q is not in the future", s)
	}
	return &t, nil
}

func expiryOf(s string, now time.Time) (time.Time, bool) {
	if days, err := strconv.Atoi(strings.TrimSuffix(s, "d")); err == nil && strings.HasSuffix(s, "d") {
		return now.AddDate(0, 0, days), true
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d), true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func findStore(ctx context.Context, d *db.DB, ref string) (int64, error) {
	stores := partner.NewBook(d, partner.Defaults{})
	var s partner.Store
	var err error
	if external, ok := strings.CutPrefix(ref, "ext:"); ok {
		s, err = stores.ByExternalID(ctx, external)
	} else if key, ok := d.Names().Parse(ident.Store, ref); ok {
		s, err = stores.Get(ctx, key)
	} else {
		err = fault.Missing("store")
	}
	if fault.KindOf(err) == fault.NotFound {
		return 0, fmt.Errorf("there is no store %s: give its id (str_…), or ext: and its external id", ref)
	}
	return s.Key, err
}

type keyLine struct {
	ID        string     `json:"id"`
	Hint      string     `json:"hint"`
	Role      auth.Role  `json:"role"`
	Name      string     `json:"name"`
	StoreID   string     `json:"store_id"`
	Merchant  string     `json:"merchant"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
}

// state is what a person wants to know about the key.
func (k keyLine) state(now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked " + minute(*k.RevokedAt)
	case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
		return "expired " + minute(*k.ExpiresAt)
	case k.ExpiresAt != nil:
		return "until " + minute(*k.ExpiresAt)
	}
	return "valid"
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func (a *app) keyListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "Show all keys, newest first, without their secrets", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				keys, err := allKeys(ctx, auth.NewBook(d))
				if err != nil {
					return err
				}
				lines := make([]keyLine, len(keys))
				for i, k := range keys {
					lines[i] = keyLine{d.Names().Name(ident.Key, k.Key), k.Hint, k.Role, k.Name, "", k.MerchantName, k.CreatedAt, k.ExpiresAt, k.RevokedAt}
					if k.Store != 0 {
						lines[i].StoreID = d.Names().Name(ident.Store, k.Store)
					}
				}
				if asJSON {
					return writeJSON(a.out, lines)
				}
				return a.table("ID\tENDS IN\tROLE\tFOR\tNAME\tCREATED\tSTATE", func(row func(...any)) {
					for _, k := range lines {
						row(k.ID, k.Hint, k.Role, k.StoreID+k.Merchant, k.Name, minute(k.CreatedAt), k.state(d.Now()))
					}
				})
			})
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func allKeys(ctx context.Context, book *auth.Book) (all []auth.KeyInfo, err error) {
	for cursor := int64(0); ; {
		page, next, err := book.List(ctx, cursor, 200)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == 0 {
			return all, nil
		}
		cursor = next
	}
}

func (a *app) keyRevokeCommand() *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "Make a key useless, within a second", Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				key, ok := d.Names().Parse(ident.Key, args[0])
				if !ok {
					return fmt.Errorf("there is no key %s: doorstep key list shows them", args[0])
				}
				return auth.NewBook(d).Revoke(ctx, key)
			})
		})}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

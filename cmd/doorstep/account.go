package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"

	"github.com/spf13/cobra"
)

func (a *app) accountCommands() *cobra.Command {
	return group("account", "People who sign in",
		a.accountInviteCommand(), a.accountListCommand(),
		a.accountLinkCommand(),
		a.accountChangeCommand("disable LOGIN", "Lock somebody out, at once", (*auth.Book).Disable),
		a.accountChangeCommand("enable LOGIN", "Let somebody in again", (*auth.Book).Enable))
}

// siteOf is what a browser types before the paths of this installation.
func siteOf(c *config) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	host, port, _ := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

func (a *app) accountInviteCommand() *cobra.Command {
	n := auth.NewAccount{}
	role := ""
	cmd := &cobra.Command{Use: "invite LOGIN", Short: "Make an account, and print the link by which its person chooses a password", Args: exactly(1),
		Example: "  doorstep account invite amina@desk.example --name \"Amina Wanjiru\" --role admin",
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			n.Login, n.Role = args[0], auth.Role(role)
			if n.Name == "" {
				n.Name = args[0]
			}
			return a.onDB(ctx, c, true, func(ctx context.Context, d *db.DB) error {
				_, l, err := auth.NewBook(d).CreateAccount(ctx, n)
				if fault.Code(err) == "login-taken" {
					return fmt.Errorf("there is an account %s: doorstep account reset %s prints a new link for it", args[0], args[0])
				}
				return a.printLink(c, l, err)
			})
		})}
	cmd.Flags().StringVar(&n.Name, "name", "", "the person's `NAME`; without it the login")
	cmd.Flags().StringVar(&role, "role", "dispatcher", "`ROLE`: admin or dispatcher")
	bind(cmd, asWritten, "public_url")
	return cmd
}

func (a *app) printLink(c *config, l auth.Link, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintln(a.err, "The link works once, until", minute(l.ExpiresAt)+":")
	_, err = fmt.Fprintln(a.out, siteOf(c)+"/setup/"+l.Token)
	return err
}

// onAccount works on the account with a login.
func (a *app) onAccount(ctx context.Context, c *config, login string, f func(context.Context, *auth.Book, auth.Account) error) error {
	return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
		book := auth.NewBook(d)
		account, err := book.AccountByLogin(ctx, login)
		if fault.KindOf(err) == fault.NotFound {
			return fmt.Errorf("there is no account %s: doorstep account list shows them", login)
		}
		if err != nil {
			return err
		}
		return f(ctx, book, account)
	})
}

func (a *app) accountLinkCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "reset LOGIN", Short: "Print a link by which somebody chooses a new password", Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.onAccount(ctx, c, args[0], func(ctx context.Context, book *auth.Book, account auth.Account) error {
				l, err := book.Invite(ctx, account.Key)
				return a.printLink(c, l, err)
			})
		})}
	bind(cmd, asWritten, "public_url")
	return cmd
}

func (a *app) accountChangeCommand(use, short string, change func(*auth.Book, context.Context, int64) (auth.Account, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.onAccount(ctx, c, args[0], func(ctx context.Context, book *auth.Book, account auth.Account) error {
				_, err := change(book, ctx, account.Key)
				return err
			})
		})}
}

type accountLine struct {
	ID         string     `json:"id"`
	Login      string     `json:"login"`
	Name       string     `json:"name"`
	Role       auth.Role  `json:"role"`
	Status     string     `json:"status"`
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at"`
}

func (a *app) accountListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "Show who has an account, newest first", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
				lines, err := accountLines(ctx, d)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(a.out, lines)
				}
				return a.table("ID\tLOGIN\tNAME\tROLE\tCREATED\tSTATE", func(row func(...any)) {
					for _, l := range lines {
						row(l.ID, l.Login, l.Name, l.Role, minute(l.CreatedAt), l.Status)
					}
				})
			})
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func accountLines(ctx context.Context, d *db.DB) ([]accountLine, error) {
	book, lines := auth.NewBook(d), []accountLine{}
	for cursor := int64(0); ; {
		page, next, err := book.Accounts(ctx, cursor, 200)
		if err != nil {
			return nil, err
		}
		for _, x := range page {
			l := accountLine{d.Names().Name(ident.Account, x.Key), x.Login, x.Name, x.Role, "active", x.CreatedAt, x.DisabledAt}
			if x.DisabledAt != nil {
				l.Status = "disabled"
			} else if !x.Ready {
				l.Status = "invited"
			}
			lines = append(lines, l)
		}
		if cursor = next; next == 0 {
			return lines, nil
		}
	}
}

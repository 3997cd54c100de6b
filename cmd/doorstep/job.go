package main

import (
	"context"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/job"
	"doorstep/internal/server"

	"github.com/spf13/cobra"
)

func (a *app) jobListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "Show the jobs, when they ran and when they are next due", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			return a.inHouse(ctx, c, func(ctx context.Context, p server.Parts) error {
				list, err := p.Jobs.List(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(a.out, jobsJSON(list))
				}
				return a.table("JOB\tSCHEDULE\tLAST SLOT\tSTATE\tNEXT SLOT\tNOTE", func(row func(...any)) {
					for _, s := range list {
						last := "never"
						if s.LastSlot != nil {
							last = minute(*s.LastSlot)
						}
						row(s.Name, s.Schedule, last, s.LastState, minute(s.NextSlot), s.LastNote)
					}
				})
			})
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func jobsJSON(list []job.Status) any {
	type line struct {
		Name      string     `json:"name"`
		Schedule  string     `json:"schedule"`
		LastSlot  *time.Time `json:"last_slot"`
		LastState string     `json:"last_state"`
		LastNote  string     `json:"last_note"`
		NextSlot  time.Time  `json:"next_slot"`
	}
	out := make([]line, len(list))
	for i, s := range list {
		out[i] = line{s.Name, s.Schedule, s.LastSlot, s.LastState, s.LastNote, s.NextSlot}
	}
	return out
}

func (a *app) jobRunCommand() *cobra.Command {
	return &cobra.Command{Use: "run NAME", Short: "Run a job now, in this process", Args: exactly(1),
		RunE: a.with(func(ctx context.Context, c *config, args []string) error {
			return a.inHouse(ctx, c, func(ctx context.Context, p server.Parts) error {
				err := p.Jobs.RunNow(ctx, args[0], func(tx *db.Tx) error {
					return event.NoteMatter(tx, "job:"+args[0], "job.started", map[string]any{"job": args[0]})
				})
				if fault.KindOf(err) == fault.NotFound {
					var known []string
					list, _ := p.Jobs.List(ctx)
					for _, s := range list {
						known = append(known, s.Name)
					}
					return fmt.Errorf("there is no job %s%s", args[0], didYouMean(args[0], known, "", "doorstep job list shows them"))
				}
				if err == nil {
					fmt.Fprintln(a.out, args[0], "done")
				}
				return err
			})
		})}
}

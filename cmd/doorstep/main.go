// Command doorstep is the whole product: the server and the tools to run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // stores' zones must be known on a machine that brings none

	"github.com/spf13/cobra"
)

func main() {
	// A limit on the size of files must be a write that fails, which is answered with 503 or 507,
	// and not the end of the process.
	signal.Ignore(syscall.SIGXFSZ)
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		s := (<-signals).(syscall.Signal) // whoever asks twice does not want to wait
		os.Exit(128 + int(s))             // as a shell says it
	}()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "doorstep:", explain(err))
	}
	os.Exit(exitCode(err))
}

// run is the program, without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	a := &app{in: stdin, out: stdout, err: stderr, environ: os.Environ()}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// app is what the commands share.
type app struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	environ []string
}

func (a *app) root() *cobra.Command {
	root := group("doorstep", "Same-day delivery through neighbourhood partner stores",
		a.serveCommand(),
		group("import", "Bring stores or past demand in", a.importStoresCommand(), a.importDemandCommand()),
		group("key", "API keys", a.keyCreateCommand(), a.keyListCommand(), a.keyRevokeCommand()),
		a.accountCommands(),
		a.campaignCommands(),
		group("job", "Scheduled work", a.jobListCommand(), a.jobRunCommand()),
		a.backupCommand(), a.restoreCommand(), a.eraseCommand(), a.doctorCommand(), a.auditCommands(),
		group("export", "Take something out, to be kept or shown elsewhere", a.exportOrderCommand()),
		group("config", "Settings", a.configShowCommand()),
		a.versionCommand())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().String("config", "", "settings `FILE` (TOML); default doorstep.toml here, if there is one")
	bind(root, asWritten, commonSettings...)
	return root
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := "see " + cmd.CommandPath() + " --help"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage("unknown command %q for %s: %s", args[0], cmd.CommandPath(), hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}

// exactly asks for the arguments that Use names in capitals.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%d arguments given, %d needed: %s", len(args), n, cmd.UseLine())
		}
		return nil
	}
}

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func exitCode(err error) int {
	var u usageError
	var unable unableError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u), errors.As(err, &unable):
		return 2
	}
	return 1
}

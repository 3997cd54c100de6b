package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"doorstep/internal/db"
	"doorstep/internal/partner"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
)

// config is what the settings say.
type config struct {
	DB             string
	Listen         string
	MetricsListen  string
	PublicURL      string
	LogLevel       slog.Level
	LogFormat      string
	TrustedProxies bool
	MaxStreams     int
	GroupLimit     int
	PushContact    string
	PushLoopback   bool
	RetentionDays  int
	Domains        []string
	RedirectListen string
	TLSCert        string
	TLSKey         string
	TLSCache       string
	ACMEContact    string
	ACMEDirectory  string
	Stores         partner.Defaults

	origin map[string]origin
}

// origin is where a setting's value comes from, and the value as written there.
type origin struct{ text, from string }

// setting is one line of the table below. The same name is a flag (--log-level), a variable
// (DOORSTEP_LOG_LEVEL) and a key of the settings file (log_level).
type setting struct {
	name, fallback, help string
	set                  func(*config, string) error
}

const defaultDB = "data/doorstep.db"

var settings = []setting{
	{"db", defaultDB, "the database: `PATH_OR_URL` of an SQLite file, or postgres://…", text(func(c *config) *string { return &c.DB })},
	{"listen", "127.0.0.1:8080", "`HOST:PORT` where the API and the pages are; port 0 takes a free one", address(func(c *config) *string { return &c.Listen })},
	{"metrics_listen", "", "`HOST:PORT` where /metrics (Prometheus) is, without access control; empty: nowhere", address(func(c *config) *string { return &c.MetricsListen })},
	{"public_url", "", "`URL` that tracking links begin with; empty takes the host each request names", setPublicURL},
	{"domain", "", "`NAME` of this server on the internet: it fetches a certificate and speaks HTTPS on port 443; more names with commas, or the flag again", setDomains},
	{"redirect_listen", ":80", "with domain: `HOST:PORT` of plain HTTP, which proves that the name is yours and sends browsers to HTTPS", address(func(c *config) *string { return &c.RedirectListen })},
	{"tls_cert", "", "`FILE` of a certificate of your own (PEM, with its chain): HTTPS with it; read again when it changes", text(func(c *config) *string { return &c.TLSCert })},
	{"tls_key", "", "`FILE` of the key of tls_cert (PEM)", text(func(c *config) *string { return &c.TLSKey })},
	{"tls_cache", "", "`FOLDER` where fetched certificates are kept; empty: certificates, beside the database file", text(func(c *config) *string { return &c.TLSCache })},
	{"acme_contact", "", "e-mail `ADDRESS` where the authority can write about certificates", text(func(c *config) *string { return &c.ACMEContact })},
	{"acme_directory", "", "`URL` of another certificate authority (ACME); empty: Let's Encrypt", text(func(c *config) *string { return &c.ACMEDirectory })},
	{"log_level", "info", "least `LEVEL` that is logged: debug, info, warn or error", func(c *config, s string) error { return c.LogLevel.UnmarshalText([]byte(s)) }},
	{"log_format", "auto", "`FORMAT` of the log: text, json, or auto for text on a terminal and else json", oneOf(func(c *config) *string { return &c.LogFormat }, "auto", "text", "json")},
	{"trusted_proxies", "false", "believe X-Forwarded-For and -Proto, because a proxy of yours sets them", boolean(func(c *config) *bool { return &c.TrustedProxies })},
	{"max_streams", "10000", "most live streams (SSE) at once, as far as the limit of open files allows", number(func(c *config) *int { return &c.MaxStreams })},
	{"push_contact", "", "e-mail `ADDRESS` or https URL where push services can complain; empty takes an https public_url. Some services refuse to work without", setContact},
	// For tests only, and so no flag: stores could make the server ask things of its own machine.
	{"push_loopback", "false", "let push subscriptions be on this machine, over http too", boolean(func(c *config) *bool { return &c.PushLoopback })},
	// For benchmarks only, and so no flag: what sharing commits is worth.
	{"group_limit", "0", "most changes `N` that share a commit on SQLite; 0: as many as wait", number(func(c *config) *int { return &c.GroupLimit })},
	{"retention_days", "180", "`DAYS` after its end that an order keeps its recipient's data, unless its merchant's policy says otherwise; 0: for ever", number(func(c *config) *int { return &c.RetentionDays })},
	{"default_time_zone", "", "IANA time `ZONE` of stores that name none; empty refuses those", setTimeZone},
	{"default_country", "", "ISO 3166-1 alpha-2 `CODE` of stores that name no country", text(func(c *config) *string { return &c.Stores.Country })},
	{"default_locale", "en", "BCP 47 `TAG` of stores that name no locale", text(func(c *config) *string { return &c.Stores.Locale })},
	{"default_opening_hours", "", "OSM opening `HOURS` of stores that name none; empty means always open", setHours},
	{"default_quiet_hours", "", "`HOURS` like 22:00-07:00, on its own clock, in which a store that names none is told nothing; empty means none", setQuiet},
	{"default_radius", "3000", "service radius in `METRES` of stores that name none", number(func(c *config) *int { return &c.Stores.ServiceRadiusM })},
	{"default_slot_minutes", "60", "length of a capacity slot in `MINUTES`, 5 to 1440", number(func(c *config) *int { return &c.Stores.SlotMinutes })},
	{"default_orders_per_slot", "20", "orders `N` that a store takes per slot", number(func(c *config) *int { return &c.Stores.OrdersPerSlot })},
	{"default_shelf_units", "0", "room on a store's shelf in `UNITS`; 0: not known", number(func(c *config) *int { return &c.Stores.ShelfUnits })},
	{"default_auto_accept", "true", "stores take orders without being asked", boolean(func(c *config) *bool { return &c.Stores.AutoAccept })},
	{"default_offer_timeout", "120", "`SECONDS` that a store has to answer an offer", number(func(c *config) *int { return &c.Stores.OfferTimeoutS })},
}

func text(at func(*config) *string) func(*config, string) error {
	return func(c *config, s string) error { *at(c) = s; return nil }
}

func oneOf(at func(*config) *string, allowed ...string) func(*config, string) error {
	return func(c *config, s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("one of %s", strings.Join(allowed, ", "))
		}
		*at(c) = s
		return nil
	}
}

func number(at func(*config) *int) func(*config, string) error {
	return func(c *config, s string) (err error) {
		if *at(c), err = strconv.Atoi(s); err != nil || *at(c) < 0 {
			return errors.New("a whole number, 0 or more")
		}
		return nil
	}
}

func boolean(at func(*config) *bool) func(*config, string) error {
	return func(c *config, s string) (err error) {
		if *at(c), err = strconv.ParseBool(s); err != nil {
			return errors.New("true or false")
		}
		return nil
	}
}

func address(at func(*config) *string) func(*config, string) error {
	return func(c *config, s string) error {
		if _, _, err := net.SplitHostPort(s); err != nil && s != "" {
			return errors.New("HOST:PORT, for instance 127.0.0.1:8080")
		}
		*at(c) = s
		return nil
	}
}

func setPublicURL(c *config, s string) error {
	u, err := url.Parse(s)
	if s != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("a URL like https://doorstep.example")
	}
	c.PublicURL = strings.TrimRight(s, "/")
	return nil
}

// setDomains reads names that a certificate can be had for.
func setDomains(c *config, s string) error {
	c.Domains = nil
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		if net.ParseIP(name) != nil || !strings.Contains(name, ".") || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || strings.ContainsAny(name[:1]+name[len(name)-1:], ".-") {
			return errors.New("names like doorstep.example, without https:// and without a port")
		}
		c.Domains = append(c.Domains, name)
	}
	return nil
}

func setTimeZone(c *config, s string) error {
	if s != "" {
		if _, err := partner.NewZone(s, ""); err != nil {
			return errors.New("an IANA zone like Africa/Nairobi")
		}
	}
	c.Stores.TimeZone = s
	return nil
}

func setHours(c *config, s string) error {
	_, err := partner.ParseHours(s)
	c.Stores.OpeningHours = s
	return err
}

func setQuiet(c *config, s string) error {
	_, err := partner.ParseQuiet(s)
	c.Stores.QuietHours = s
	return err
}

func setContact(c *config, s string) error {
	if s != "" && !strings.HasPrefix(s, "https://") && (!strings.Contains(s, "@") || strings.ContainsAny(s, " :/")) {
		return errors.New("an e-mail address, or a URL that begins with https://")
	}
	c.PushContact = s
	return nil
}

// layer is one source of settings.
type layer struct {
	values map[string]string           // by name of the setting
	from   func(setting string) string // how it is called there
}

// resolve reads the layers, of which a later one goes before an earlier one.
func resolve(layers ...layer) (*config, error) {
	c := &config{Stores: partner.StandardDefaults(), origin: map[string]origin{}}
	for _, s := range settings {
		o := origin{s.fallback, "default"}
		for _, l := range layers {
			if v, ok := l.values[s.name]; ok {
				o = origin{v, l.from(s.name)}
			}
		}
		if err := s.set(c, o.text); err != nil {
			return nil, usage("%s: %s is not usable as %q: %w", o.from, s.name, db.Redact(o.text), err)
		}
		c.origin[s.name] = o
	}
	c.follow()
	return c, nil
}

// follow sets what follows from other settings unless somebody says otherwise: a name on the internet
// means the usual port, and links that begin with it.
func (c *config) follow() {
	if len(c.Domains) == 0 {
		return
	}
	if c.origin["listen"].from == "default" {
		c.Listen = ":443"
	}
	if c.PublicURL == "" {
		c.PublicURL = "https://" + c.Domains[0]
		if _, port, _ := net.SplitHostPort(c.Listen); port != "443" && port != "0" {
			c.PublicURL += ":" + port
		}
	}
}

const (
	envPrefix = "DOORSTEP_"
	envConfig = "DOORSTEP_CONFIG"
	envTests  = "DOORSTEP_TEST_" // what tests are told is not ours
)

func envName(setting string) string { return envPrefix + strings.ToUpper(setting) }

// fromEnv is the layer of the environment; file is what DOORSTEP_CONFIG names.
func fromEnv(environ []string) (l layer, file string, err error) {
	l = layer{map[string]string{}, envName}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		switch {
		case !ours || strings.HasPrefix(name, envTests):
		case name == envConfig:
			file = value
		case !isSetting(strings.ToLower(rest)) || rest != strings.ToUpper(rest):
			return l, "", usage("unknown setting %s in the environment%s", name, nearSetting(rest, envName))
		default:
			l.values[strings.ToLower(rest)] = value
		}
	}
	return l, file, nil
}

const defaultFile = "doorstep.toml"

// fromFile is the layer of a settings file; without a name, of the one in this folder if there is one.
func fromFile(name string) (layer, error) {
	named := name != ""
	if !named {
		name = defaultFile
	}
	l := layer{map[string]string{}, func(string) string { return name }}
	data, err := os.ReadFile(name)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("settings file: %w", err)
	}
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		return l, usage("%s: %w", name, err)
	}
	for key, v := range values {
		if !isSetting(key) {
			return l, usage("unknown setting %s in %s%s", key, name, nearSetting(key, func(s string) string { return s }))
		}
		switch v.(type) {
		case string, int64, bool:
			l.values[key] = fmt.Sprint(v)
		default:
			return l, usage("%s: %s must be a text, a whole number, true or false", name, key)
		}
	}
	return l, nil
}

func isSetting(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
}

func nearSetting(word string, spelt func(string) string) string {
	var known []string
	for _, s := range settings {
		known = append(known, s.name)
	}
	near := didYouMean(strings.ToLower(word), known, "", "see doorstep config show")
	if name, ok := strings.CutPrefix(near, ": did you mean "); ok {
		return ": did you mean " + spelt(strings.TrimSuffix(name, "?")) + "?"
	}
	return near
}

// flagValue keeps a flag's text; resolve parses it, so that every source is read by one rule.
type flagValue struct {
	text, kind string
	many       bool // given again, it adds
}

func (v *flagValue) Set(s string) error {
	if v.many && v.text != "" {
		s = v.text + "," + s
	}
	v.text = s
	return nil
}

func (v *flagValue) Type() string   { return v.kind }
func (v *flagValue) String() string { return v.text }

// asWritten and brief are the two ways a setting is spelt as a flag: --default-country, or
// --country where nothing else could be meant.
func asWritten(name string) string { return strings.ReplaceAll(name, "_", "-") }

func brief(name string) string { return asWritten(strings.TrimPrefix(name, "default_")) }

// bind gives a command the flags of settings; those of the root command are every command's.
func bind(cmd *cobra.Command, spell func(string) string, names ...string) {
	flags := cmd.Flags()
	if cmd.Name() == "doorstep" {
		flags = cmd.PersistentFlags()
	}
	for _, s := range settings {
		if !slices.Contains(names, s.name) {
			continue
		}
		v := &flagValue{text: s.fallback, kind: "string", many: s.name == "domain"}
		name := spell(s.name)
		flags.Var(v, name, s.help)
		if s.fallback == "true" || s.fallback == "false" {
			v.kind = "bool"
			flags.Lookup(name).NoOptDefVal = "true"
		}
	}
}

// commonSettings are flags of every command, serverSettings those of serve.
var (
	commonSettings = []string{"db", "log_level", "log_format"}
	serverSettings = []string{"listen", "metrics_listen", "public_url", "trusted_proxies", "max_streams", "domain", "redirect_listen", "tls_cert", "tls_key", "tls_cache", "acme_contact", "acme_directory", "push_contact", "retention_days"}
)

// networkDefaults are the settings that stores inherit.
func networkDefaults() (names []string) {
	for _, s := range settings {
		if strings.HasPrefix(s.name, "default_") {
			names = append(names, s.name)
		}
	}
	return names
}

// fromFlags is the layer of a command's flags.
func fromFlags(cmd *cobra.Command) layer {
	l := layer{map[string]string{}, asWritten}
	spelt := map[string]string{}
	for _, s := range settings {
		for _, name := range []string{asWritten(s.name), brief(s.name)} {
			if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
				l.values[s.name], spelt[s.name] = f.Value.String(), "--"+name
			}
		}
	}
	l.from = func(name string) string { return spelt[name] }
	return l
}

// configure reads the settings for a command.
func (a *app) configure(cmd *cobra.Command) (*config, error) {
	env, file, err := fromEnv(a.environ)
	if err != nil {
		return nil, err
	}
	if f := cmd.Flag("config"); f.Changed {
		file = f.Value.String()
	}
	saved, err := fromFile(file)
	if err != nil {
		return nil, err
	}
	return resolve(saved, env, fromFlags(cmd))
}

// with makes the body of a command that needs the settings.
func (a *app) with(f func(ctx context.Context, c *config, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.configure(cmd)
		if err != nil {
			return err
		}
		return f(cmd.Context(), c, args)
	}
}

func (a *app) configShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show every setting, its value and where that comes from", Args: exactly(0),
		RunE: a.with(func(_ context.Context, c *config, _ []string) error {
			return a.table("SETTING\tVALUE\tFROM", func(row func(...any)) {
				for _, s := range settings {
					o := c.origin[s.name]
					row(s.name, db.Redact(o.text), o.from)
				}
			})
		})}
	bind(cmd, asWritten, append(networkDefaults(), serverSettings...)...)
	return cmd
}

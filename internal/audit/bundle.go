package audit

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/seal"
)

// A bundle is a dossier in a zip file:
//
//	order.json         for people: every row, with times as such
//	rows.json          the rows as they are stored, with their seals
//	events.json        the chain, with everything a hash is made of
//	photos/<sha>.jpg
//	manifest.json      the SHA-256 of each of these, and the key that signed it
//	manifest.sig       Ed25519 over the bytes of manifest.json, base64
//
// Whoever has the public key of the installation can check it anywhere, without the database.

const bundleFormat = "doorstep-proof-1"

type manifest struct {
	Format     string       `json:"format"`
	OrderID    string       `json:"order_id"`
	OrderKey   string       `json:"order_key"`
	ExportedAt time.Time    `json:"exported_at"`
	Since      string       `json:"since"` // keys up to this are of rows from before there were seals
	PublicKey  string       `json:"public_key"`
	Files      []bundleFile `json:"files"`
}

type bundleFile struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Export writes the bundle of an order, as it is at one moment, and returns what an audit finds in it: what
// was changed before is exported as it is.
//
// Errors: fault.Missing when there is no such order.
func Export(ctx context.Context, d *db.DB, order int64, w io.Writer) ([]Finding, error) {
	key, err := signingKey(ctx, d)
	if err != nil {
		return nil, err
	}
	dossier, err := take(ctx, d, order) // all of it: whoever reads w slowly keeps no moment of the database open
	if err != nil {
		return nil, err
	}
	m := manifest{Format: bundleFormat, OrderID: d.Names().Name(ident.Order, order), OrderKey: strconv.FormatInt(order, 10),
		ExportedAt: d.Now(), Since: strconv.FormatInt(dossier.Since, 10), PublicKey: PublicText(key.Public().(ed25519.PublicKey))}
	return dossier.inspect(d.Names().Name), dossier.write(w, m, key)
}

func take(ctx context.Context, d *db.DB, order int64) (*Dossier, error) {
	v, err := d.View(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	from, err := since(v)
	if err != nil {
		return nil, err
	}
	dossier, ok, err := open(v, order, from, true)
	if err == nil && !ok {
		err = fault.Missing("order")
	}
	return dossier, err
}

// write writes the bundle. Photos are not packed: they are already.
func (d *Dossier) write(w io.Writer, m manifest, key ed25519.PrivateKey) error {
	z := zip.NewWriter(w)
	add := func(name string, method uint16, data []byte) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: m.ExportedAt})
		if err == nil {
			_, err = f.Write(data)
		}
		return err
	}
	put := func(name string, method uint16, data []byte) error {
		sum := sha256.Sum256(data)
		m.Files = append(m.Files, bundleFile{name, len(data), hex.EncodeToString(sum[:])})
		return add(name, method, data)
	}
	for _, f := range []struct {
		name string
		make func() any
	}{{"order.json", d.readable}, {"rows.json", func() any { return d.tables() }}, {"events.json", func() any { return d.chain() }}} {
		data, err := json.MarshalIndent(f.make(), "", " ")
		if err == nil {
			err = put(f.name, zip.Deflate, data)
		}
		if err != nil {
			return err
		}
	}
	for _, sha := range d.pictures() {
		if p := d.Photos[sha]; len(p.JPEG) > 0 {
			if err := put("photos/"+sha+".jpg", zip.Store, p.JPEG); err != nil {
				return err
			}
		}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	if err := add("manifest.json", zip.Store, data); err != nil {
		return err
	}
	if err := add("manifest.sig", zip.Store, []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, data)))); err != nil {
		return err
	}
	return z.Close()
}

// tableText is the rows of a table in rows.json. Values begin with their kind: i an integer, r a real
// number, t a text, b bytes in base64, x a text that is none, in base64.
type tableText struct {
	Table    string    `json:"table"`
	Columns  []string  `json:"columns"`
	Late     []string  `json:"late,omitempty"`
	Evidence bool      `json:"evidence,omitempty"`
	Rows     []rowText `json:"rows"`
}

type rowText struct {
	Values []*string          `json:"values"`
	More   map[string]*string `json:"more,omitempty"`
}

func (d *Dossier) tables() (out []tableText) {
	rows := slices.Clone(d.Rows)
	for _, sha := range d.pictures() {
		if p := d.Photos[sha]; p.Row.Shape != nil {
			rows = append(rows, p.Row)
		}
	}
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].Table != r.Shape.Table {
			t := tableText{Table: r.Shape.Table, Columns: r.Shape.Columns, Evidence: r.Shape.Evidence}
			for i, late := range r.Shape.Late {
				if late {
					t.Late = append(t.Late, r.Shape.Columns[i])
				}
			}
			out = append(out, t)
		}
		text := rowText{More: map[string]*string{}}
		for _, v := range r.Values {
			text.Values = append(text.Values, valueText(v))
		}
		for name, v := range r.More {
			text.More[name] = valueText(v)
		}
		t := &out[len(out)-1]
		t.Rows = append(t.Rows, text)
	}
	return out
}

// eventText is an event in events.json, its data as the exact text that was digested.
type eventText struct {
	Seq        int64  `json:"seq,string"`
	Prev       int64  `json:"prev,string"`
	Sequence   int64  `json:"sequence"`
	Type       string `json:"type"`
	Subject    int64  `json:"subject,string"`
	Merchant   int64  `json:"merchant,string"`
	Store      int64  `json:"store,string"`
	Actor      string `json:"actor"`
	OccurredAt int64  `json:"occurred_at_ms"`
	RecordedAt int64  `json:"recorded_at_ms"`
	Data       string `json:"data"`
	Hash       string `json:"hash"`
}

func (d *Dossier) chain() []eventText {
	out := make([]eventText, len(d.Events))
	for i, e := range d.Events {
		out[i] = eventText{e.Seq, e.Prev, e.Sequence, e.Type, e.Subject, e.Merchant, e.Store, e.Actor, e.OccurredAt.UnixMilli(),
			e.RecordedAt.UnixMilli(), string(e.Data), hex.EncodeToString(e.Kept)}
	}
	return out
}

// timed are columns that hold times; what a person reads is not the number.
var timed = regexp.MustCompile(`(_at|_from|_to|_until|_due|_since|deadline|slot)$`)

// readable is the dossier for people: tables of rows, their times as such and their JSON unpacked.
func (d *Dossier) readable() any {
	show := func(column string, v any) any {
		switch v := v.(type) {
		case int64:
			if timed.MatchString(column) && v > 1e11 {
				return time.UnixMilli(v).UTC()
			}
			if v > 1<<53 || v < -1<<53 { // a key: more digits than many readers of JSON keep
				return strconv.FormatInt(v, 10)
			}
		case string:
			if len(v) > 1 && (v[0] == '{' || v[0] == '[') && json.Valid([]byte(v)) {
				return json.RawMessage(v)
			}
		case []byte:
			return hex.EncodeToString(v)
		case float64:
			if _, err := json.Marshal(v); err != nil {
				return fmt.Sprint(v)
			}
		}
		return v
	}
	out := map[string]any{}
	for _, r := range d.Rows {
		row := map[string]any{}
		for i, c := range r.Shape.Columns {
			row[c] = show(c, r.Values[i])
		}
		if r.Shape.Table == "orders" {
			out["order"] = row
		} else {
			list, _ := out[r.Shape.Table].([]any)
			out[r.Shape.Table] = append(list, row)
		}
	}
	var story []any
	for _, e := range d.Events {
		story = append(story, map[string]any{"sequence": e.Sequence, "type": e.Type, "actor": e.Actor, "occurred_at": e.OccurredAt,
			"recorded_at": e.RecordedAt, "data": show("data", string(e.Data))})
	}
	out["story"] = story
	return out
}

func valueText(v any) *string {
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		s = "i" + strconv.FormatInt(v, 10)
	case bool:
		if s = "i0"; v {
			s = "i1"
		}
	case float64:
		s = "r" + strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		s = "b" + base64.StdEncoding.EncodeToString(v)
	case string:
		if s = "t" + v; !valid(v) {
			s = "x" + base64.StdEncoding.EncodeToString([]byte(v))
		}
	}
	return &s
}

// valid reports whether a text comes back from JSON as it was.
func valid(s string) bool {
	b, err := json.Marshal(s)
	var back string
	return err == nil && json.Unmarshal(b, &back) == nil && back == s
}

func parseValue(text *string) (any, error) {
	if text == nil {
		return nil, nil
	}
	if *text == "" {
		return nil, fmt.Errorf("a value has no kind")
	}
	rest := (*text)[1:]
	switch (*text)[0] {
	case 'i':
		return strconv.ParseInt(rest, 10, 64)
	case 'r':
		return strconv.ParseFloat(rest, 64)
	case 't':
		return rest, nil
	case 'b':
		b, err := base64.StdEncoding.DecodeString(rest)
		return b, err
	case 'x':
		b, err := base64.StdEncoding.DecodeString(rest)
		return string(b), err
	}
	return nil, fmt.Errorf("%.20q is no value", *text)
}

// Limits of a bundle that is read: more is not a bundle but an attack.
const (
	mostFiles      = 1000
	largestFile    = 32 << 20
	largestBundle  = 256 << 20
	mostJSONTables = 20
)

var bundleName = regexp.MustCompile(`^(order|rows|events|manifest)\.json$|^manifest\.sig$|^photos/[0-9a-f]{64}\.jpg$`)

// Bundle is what a bundle says of itself.
type Bundle struct {
	OrderID    string
	ExportedAt time.Time
	PublicKey  string // that signed it
	Summary
}

// VerifyBundle checks a bundle as Verify checks an order, and its signature: by the key given, in the
// form of PublicText, or if that is "" by its own, which only shows that it is in itself as it was made.
// Findings name the file or the row.
//
// Errors: of reading, and when r is no zip file at all.
func VerifyBundle(r io.ReaderAt, size int64, publicKey string) (b Bundle, found []Finding, err error) {
	say := func(name, format string, args ...any) {
		found = append(found, Finding{Order: b.OrderID, Table: "bundle", Row: name, What: fmt.Sprintf(format, args...)})
		b.Findings++
	}
	files, broken, err := unpack(r, size)
	if err != nil {
		return b, nil, err
	}
	for name, why := range broken {
		say(name, "%s", why)
	}
	var m manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil || m.Format != bundleFormat {
		say("manifest.json", "it is not the manifest of a %s", bundleFormat)
		return b, inOrder(found), nil
	}
	b.OrderID, b.ExportedAt, b.PublicKey = m.OrderID, m.ExportedAt, m.PublicKey
	if publicKey != "" && publicKey != m.PublicKey {
		say("manifest.json", "it names another key than the one given")
	}
	signature, _ := base64.StdEncoding.DecodeString(string(files["manifest.sig"]))
	if pub, err := ParsePublic(m.PublicKey); err != nil || !ed25519.Verify(pub, files["manifest.json"], signature) {
		say("manifest.sig", "the signature is not of this manifest and key")
	}
	listed := map[string]bool{"manifest.json": true, "manifest.sig": true}
	for _, f := range m.Files {
		data, there := files[f.Name]
		sum := sha256.Sum256(data)
		switch {
		case listed[f.Name] || !bundleName.MatchString(f.Name):
			say(f.Name, "the manifest may not name it")
		case !there && broken[f.Name] == "":
			say(f.Name, "it is missing")
		case there && (hex.EncodeToString(sum[:]) != f.SHA256 || len(data) != f.Bytes):
			say(f.Name, "it is not the file that was signed")
		}
		listed[f.Name] = true
	}
	for name := range files {
		if !listed[name] {
			say(name, "the manifest does not know it")
		}
	}
	d, err := m.dossier(files)
	if err != nil {
		say("rows.json", "it cannot be read: %v", err)
		return b, inOrder(found), nil
	}
	name := func(prefix string, key int64) string {
		if prefix == ident.Order && key == d.Order {
			return m.OrderID
		}
		return strconv.FormatInt(key, 10)
	}
	b.Orders, b.Events, b.Photos = 1, int64(len(d.Events)), int64(len(d.Photos))
	found = append(found, d.inspect(name)...)
	b.Findings = int64(len(found))
	return b, inOrder(found), nil
}

// unpack reads the files of a bundle, within limits, into memory and nowhere else. broken says why others
// were left out.
func unpack(r io.ReaderAt, size int64) (files map[string][]byte, broken map[string]string, err error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("this is no bundle: %w", err)
	}
	files, broken = map[string][]byte{}, map[string]string{}
	if len(z.File) > mostFiles {
		return nil, nil, fmt.Errorf("this is no bundle: it has %d files", len(z.File))
	}
	total := 0
	for _, f := range z.File {
		_, twice := files[f.Name]
		switch {
		case !bundleName.MatchString(f.Name):
			broken[strconv.Quote(f.Name)] = "no file of a bundle is called so"
			continue
		case twice:
			broken[f.Name] = "it is there twice"
			continue
		}
		data, err := read(f)
		if err != nil {
			broken[f.Name] = "it cannot be read: " + err.Error()
			continue
		}
		if total += len(data); total > largestBundle {
			return nil, nil, fmt.Errorf("this is no bundle: it unpacks to more than %d MB", largestBundle>>20)
		}
		files[f.Name] = data
	}
	return files, broken, nil
}

func read(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, largestFile+1))
	if err == nil && len(data) > largestFile {
		err = fmt.Errorf("it is larger than %d MB", largestFile>>20)
	}
	return data, err
}

// dossier puts the dossier of a bundle together again. Whatever stands in the files, it panics nowhere.
func (m *manifest) dossier(files map[string][]byte) (*Dossier, error) {
	var tables []tableText
	if err := strict(files["rows.json"], &tables); err != nil {
		return nil, err
	}
	var events []eventText
	if err := strict(files["events.json"], &events); err != nil {
		return nil, err
	}
	d := &Dossier{Photos: map[string]Photo{}}
	var err error
	if d.Order, err = strconv.ParseInt(m.OrderKey, 10, 64); err != nil {
		return nil, err
	}
	if d.Since, err = strconv.ParseInt(m.Since, 10, 64); err != nil {
		return nil, err
	}
	if key, ok := ident.Claimed(ident.Order, m.OrderID); !ok || key != d.Order {
		return nil, fmt.Errorf("%s and %s are not the same order", m.OrderID, m.OrderKey)
	}
	if len(tables) > mostJSONTables {
		return nil, fmt.Errorf("it has %d tables", len(tables))
	}
	for _, t := range tables {
		rows, err := t.rows()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Table, err)
		}
		if t.Table != "photo" {
			d.Rows = append(d.Rows, rows...)
			continue
		}
		for _, r := range rows {
			p := Photo{Row: r, JPEG: files["photos/"+r.text("sha256")+".jpg"]}
			if p.JPEG == nil {
				p.JPEG = []byte{}
			}
			d.Photos[r.text("sha256")] = p
		}
	}
	if len(d.Rows) == 0 || d.Rows[0].Shape.Table != "orders" || d.Rows[0].number("key") != d.Order {
		return nil, fmt.Errorf("it does not begin with the order")
	}
	for _, e := range events {
		hash, err := hex.DecodeString(e.Hash)
		if err != nil {
			return nil, err
		}
		d.Events = append(d.Events, event.Stored{Event: event.Event{Seq: e.Seq, Prev: e.Prev, Sequence: e.Sequence, Type: e.Type, Subject: e.Subject,
			Merchant: e.Merchant, Store: e.Store, Actor: e.Actor, OccurredAt: time.UnixMilli(e.OccurredAt), RecordedAt: time.UnixMilli(e.RecordedAt),
			Data: json.RawMessage(e.Data)}, Kept: hash})
	}
	return d, nil
}

// rows are the rows of a table in rows.json.
func (t *tableText) rows() (out []Row, err error) {
	if len(t.Columns) == 0 || len(t.Columns) > 255 {
		return nil, fmt.Errorf("%d columns", len(t.Columns))
	}
	for _, c := range t.Late {
		if !slices.Contains(t.Columns, c) {
			return nil, fmt.Errorf("there is no column %s", c)
		}
	}
	shape := seal.NewRow(t.Table, t.Columns, t.Late...)
	shape.Evidence = t.Evidence
	for _, text := range t.Rows {
		r := Row{Shape: &shape, More: map[string]any{}}
		for _, v := range text.Values {
			value, err := parseValue(v)
			if err != nil {
				return nil, err
			}
			r.Values = append(r.Values, value)
		}
		if len(r.Values) != len(t.Columns) {
			return nil, fmt.Errorf("%d values for %d columns", len(r.Values), len(t.Columns))
		}
		for name, v := range text.More {
			if r.More[name], err = parseValue(v); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

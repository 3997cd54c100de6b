package partner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// The formats of an import.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
)

// ImportOptions say how to read a file of stores.
type ImportOptions struct {
	Format   string         // CSV or NDJSON
	DryRun   bool           // tell what would happen, change nothing
	Rows     bool           // tell of every row, not only of those that failed
	Defaults Defaults       // for what rows do not say; the zero value is the book's
	Progress func(done int) // called now and then with the rows done
}

// ImportResult counts rows: every row is in exactly one of the first four.
type ImportResult struct {
	Created, Updated, Unchanged, Failed int
	Errors                              []RowError // the first maxRowErrors
	ErrorsOmitted                       int
	UnknownColumns                      []string // of the CSV header, as written
	DryRun                              bool
	Told                                []RowOutcome // when all rows were asked for: the first maxRowsTold, in the order of the file
	Untold                              int
}

// Rows is how many rows were dealt with.
func (r *ImportResult) Rows() int { return r.Created + r.Updated + r.Unchanged + r.Failed }

// RowError is one wrong value. Row is the physical record, with the header of a CSV file as row 1.
// Field is the column as the header writes it, or the JSON pointer in an NDJSON line; "" if the
// row as a whole is wrong.
type RowError struct {
	Row    int
	Field  string
	Code   string
	Detail string
}

// RowOutcome is what became of one row.
type RowOutcome struct {
	Row        int
	Outcome    string // created, updated, unchanged, failed
	ExternalID string // "" when it could not be read
	Name       string
	Fields     []string // of an updated store: what changed
}

const (
	maxRowsTold  = 25_000
	chunkRows    = 500 // in one transaction: some 20 ms, which others can wait
	maxRowErrors = 1000
	maxColumns   = 500
)

// Import makes or updates the stores in r. A row is known by its external id, so importing a file
// again changes nothing.
//
// A column or member that is missing leaves an existing store as it is and gives a new one the
// default; an empty CSV cell means the default, except that an empty status is left alone and an
// empty name is the external id. Good rows are kept when others fail. Rows are written in
// transactions of chunkRows: when ctx ends or the database fails, the result says how far it came,
// the error why it stopped, and the same file again does the rest.
//
// Errors: a *fault.Error when the file as a whole cannot be read (no such format, UTF-16, a header
// without the needed columns).
func (b *Book) Import(ctx context.Context, r io.Reader, o ImportOptions) (ImportResult, error) {
	if o.Defaults == (Defaults{}) {
		o.Defaults = b.defaults
	}
	im := &importer{book: b, options: o, seen: map[string]int{}, result: ImportResult{DryRun: o.DryRun}}
	rows, err := im.open(r)
	if err == nil {
		err = im.run(ctx, rows)
	}
	// What a transaction refuses is noted after what could not be read.
	slices.SortStableFunc(im.result.Errors, func(a, b RowError) int { return cmp.Compare(a.Row, b.Row) })
	slices.SortStableFunc(im.result.Told, func(a, b RowOutcome) int { return cmp.Compare(a.Row, b.Row) })
	if untold := NoteImport(context.WithoutCancel(ctx), b.db, "stores", &im.result); err == nil {
		err = untold
	}
	if err != nil && fault.KindOf(err) != fault.Invalid {
		err = fmt.Errorf("the import stopped after %d rows, which are kept; repeat it to do the rest: %w", im.result.Rows(), err)
	}
	return im.result, err
}

// NoteImport tells the log of an import that changed something, also of one that stopped on its way: the
// rows it kept are kept.
func NoteImport(ctx context.Context, d *db.DB, what string, r *ImportResult) error {
	if r.DryRun || r.Created+r.Updated == 0 {
		return nil
	}
	return d.InTx(ctx, func(tx *db.Tx) error {
		return event.NoteMatter(tx, what, "import.finished", map[string]any{"what": what, "created": r.Created, "updated": r.Updated,
			"unchanged": r.Unchanged, "failed": r.Failed})
	})
}

type importer struct {
	book    *Book
	options ImportOptions
	columns []*column // by position in a CSV record; nil: unknown
	header  []string
	seen    map[string]int // external id -> its first row
	result  ImportResult
}

// candidate is a row that could be read; its external id can be looked up.
type candidate struct {
	row int
	in  Input
}

// open looks at the beginning of the file, and reads a CSV header.
func (im *importer) open(r io.Reader) (*records, error) {
	rows := newRecords(r, 0)
	start, err := rows.in.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		if _, err := rows.in.Discard(3); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return nil, fault.InvalidField("", "utf-16", "the file is UTF-16: save it as UTF-8")
	}
	switch im.options.Format {
	case NDJSON:
		return rows, nil
	case CSV:
		return rows, im.readHeader(rows)
	}
	return nil, fault.InvalidField("", "unknown-format", "stores are imported from %s or %s, not %q", CSV, NDJSON, im.options.Format)
}

func (im *importer) readHeader(rows *records) error {
	window, err := rows.in.Peek(maxRecord)
	if err != nil && err != io.EOF {
		return err
	}
	line, _ := cutLine(window, true)
	rows.comma = delimiter(line)
	header, bad, err := rows.next()
	switch {
	case err == io.EOF, err == nil && bad == nil && len(header) == 0:
		return fault.InvalidField("", "no-header", "the first line must name the columns")
	case err != nil:
		return err
	case bad != nil:
		return fault.InvalidField("", "no-header", "the first line must name the columns: %s", bad.Error())
	case len(header) > maxColumns:
		return fault.InvalidField("", "too-many-columns", "at most %d columns", maxColumns)
	}
	return im.assignColumns(header)
}

// assignColumns finds what each column means. A column's own name goes before its other names: a
// file with external_id and store_id is not ambiguous.
func (im *importer) assignColumns(header []string) error {
	im.header, im.columns = header, make([]*column, len(header))
	at := map[*column]int{}
	for _, names := range []func(*column) []string{
		func(c *column) []string { return []string{c.name} },
		func(c *column) []string { return c.aliases },
	} {
		for i, text := range header {
			c := columnNamed(text, names)
			if c == nil || im.columns[i] != nil {
				continue
			}
			first, taken := at[c]
			switch {
			case !taken:
				im.columns[i], at[c] = c, i
			case columnKey(header[first]) == columnKey(text):
				return fault.InvalidField("", "duplicate-column", "two columns are named %q", strings.TrimSpace(text))
			}
		}
	}
	for i, c := range im.columns {
		if c == nil {
			im.result.UnknownColumns = append(im.result.UnknownColumns, strings.ToValidUTF8(clip(header[i], 100), "\uFFFD"))
		}
	}
	for _, needed := range []string{"external_id", "lat", "lng"} {
		if !slices.ContainsFunc(im.columns, func(c *column) bool { return c != nil && c.name == needed }) {
			return fault.InvalidField("", "missing-column", "the header has no column %s", needed)
		}
	}
	return nil
}

func (im *importer) run(ctx context.Context, rows *records) error {
	chunk := make([]candidate, 0, chunkRows)
	for read := 0; ; read++ {
		c, end, err := im.nextRow(rows)
		if err != nil {
			return err
		}
		if c != nil {
			chunk = append(chunk, *c)
		}
		if !end && len(chunk) < chunkRows && (read+1)%(4*chunkRows) != 0 {
			continue
		}
		if err := im.flush(ctx, chunk); err != nil || end {
			return err
		}
		chunk = chunk[:0]
	}
}

// nextRow is the next row that could be read; nil for one that could not, which is noted.
func (im *importer) nextRow(rows *records) (c *candidate, end bool, err error) {
	fields, bad, err := rows.next()
	switch {
	case err == io.EOF:
		return nil, true, nil
	case err != nil:
		return nil, false, err
	case bad != nil:
		im.fail(rows.row, Input{}, RowError{Code: "unreadable", Detail: bad.Error()})
		return nil, false, nil
	case len(fields) == 0:
		return nil, false, nil
	}
	return im.candidate(rows.row, fields), false, nil
}

// candidate reads and checks one row, and notes what is wrong with it.
func (im *importer) candidate(row int, fields []string) *candidate {
	var in Input
	var wrong []RowError
	if im.options.Format == NDJSON {
		in, wrong = im.readLine(fields[0])
	} else {
		in, wrong = im.readCells(fields)
	}
	if len(wrong) == 0 {
		wrong = im.rowErrors(checkExternalID(&in))
	}
	if in.ExternalID != nil {
		if first, dup := im.seen[*in.ExternalID]; dup {
			im.fail(row, in, RowError{Field: im.fieldOf("/external_id"), Code: "duplicate", Detail: fmt.Sprintf("row %d has this external_id already", first)})
			return nil
		}
		im.seen[strings.Clone(*in.ExternalID)] = row
	}
	if len(wrong) > 0 {
		im.fail(row, in, wrong...)
		return nil
	}
	if in.Name != nil && strings.TrimSpace(*in.Name) == "" {
		in.Name = in.ExternalID
	}
	return &candidate{row, in}
}

// checkExternalID makes sure that a row can be found again.
func checkExternalID(in *Input) error {
	if in.ExternalID == nil || strings.TrimSpace(*in.ExternalID) == "" {
		in.ExternalID = nil
		return fault.InvalidField("/external_id", "required", "rows are known by their external_id")
	}
	id := strings.TrimSpace(*in.ExternalID)
	in.ExternalID = &id
	var f fault.Fields
	checkText(&f, "/external_id", id, maxExternalID)
	return f.Err()
}

// tell notes what became of a row.
func (im *importer) tell(o RowOutcome) {
	switch {
	case !im.options.Rows:
	case len(im.result.Told) >= maxRowsTold:
		im.result.Untold++
	default:
		im.result.Told = append(im.result.Told, o)
	}
}

// outcome is a row before it is known what becomes of it.
func (im *importer) outcome(row int, in Input) RowOutcome {
	o := RowOutcome{Row: row, Outcome: rowFailed}
	if im.options.Rows && in.ExternalID != nil {
		o.ExternalID = strings.ToValidUTF8(clip(*in.ExternalID, maxExternalID), "\uFFFD")
	}
	if im.options.Rows && in.Name != nil {
		o.Name = strings.ToValidUTF8(clip(*in.Name, 200), "\uFFFD")
	}
	return o
}

func (im *importer) fail(row int, in Input, wrong ...RowError) {
	im.tell(im.outcome(row, in))
	im.result.Failed++
	for _, e := range wrong {
		if len(im.result.Errors) >= maxRowErrors {
			im.result.ErrorsOmitted++
			continue
		}
		e.Row = row
		im.result.Errors = append(im.result.Errors, e)
	}
}

// rowErrors is a refusal in the words of the file.
func (im *importer) rowErrors(err error) []RowError {
	var list []RowError
	if err == nil {
		return nil
	}
	for _, f := range fault.As(err).Fields {
		list = append(list, RowError{Field: im.fieldOf(f.Pointer), Code: f.Code, Detail: f.Detail})
	}
	return list
}

func (im *importer) fieldOf(pointer string) string {
	if im.options.Format == NDJSON {
		return pointer
	}
	for i, c := range im.columns {
		if c != nil && c.pointer == pointer {
			return strings.TrimSpace(im.header[i])
		}
	}
	for i := range columns {
		if columns[i].pointer == pointer {
			return columns[i].name // not in the file: the default is wrong, or missing
		}
	}
	return pointer
}

// flush decides and writes a chunk in one transaction; a dry run only decides.
func (im *importer) flush(ctx context.Context, chunk []candidate) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(chunk) == 0 {
		return nil
	}
	var tally ImportResult
	var noted []func() // once the transaction, which may run twice, is over
	decideAll := func(q db.Queryer, write func(*candidate, *Store) (string, decision, error)) error {
		tally, noted = ImportResult{}, nil
		ids := make([]string, len(chunk))
		for i := range chunk {
			ids[i] = *chunk[i].in.ExternalID
		}
		existing, err := loadByExternalIDs(q, ids)
		if err != nil {
			return err
		}
		for i := range chunk {
			c := &chunk[i]
			var old *Store
			if s, ok := existing[*c.in.ExternalID]; ok {
				old = &s
			}
			outcome, d, err := write(c, old)
			switch {
			case err == nil:
				tally.count(outcome)
				if im.options.Rows {
					told := im.outcome(c.row, c.in)
					told.Outcome, told.Fields = outcome, d.fields()
					if old != nil && told.Name == "" {
						told.Name = old.Name
					}
					noted = append(noted, func() { im.tell(told) })
				}
			case fault.KindOf(err) == fault.Invalid:
				noted = append(noted, func() { im.fail(c.row, c.in, im.rowErrors(err)...) })
			default:
				return err
			}
		}
		return nil
	}
	var err error
	if im.options.DryRun {
		q := im.book.db.Read(ctx)
		err = decideAll(q, func(c *candidate, old *Store) (string, decision, error) {
			outcome, d, err := c.decide(old, im.options.Defaults)
			if err == nil && outcome == rowUpdated {
				err = rowKeepsPromises(q, old, &d.store)
			}
			return outcome, d, err
		})
	} else {
		err = im.book.inTx(event.WithinAct(ctx), func(tx *db.Tx) error {
			return decideAll(tx, func(c *candidate, old *Store) (string, decision, error) {
				return im.book.importRow(tx, c, old, im.options.Defaults)
			})
		})
	}
	if err != nil {
		return err
	}
	im.result.Created += tally.Created
	im.result.Updated += tally.Updated
	im.result.Unchanged += tally.Unchanged
	for _, note := range noted {
		note()
	}
	if im.options.Progress != nil {
		im.options.Progress(im.result.Rows())
	}
	return nil
}

const (
	rowCreated   = "created"
	rowUpdated   = "updated"
	rowUnchanged = "unchanged"
	rowFailed    = "failed"
)

func (r *ImportResult) count(outcome string) {
	switch outcome {
	case rowCreated:
		r.Created++
	case rowUpdated:
		r.Updated++
	default:
		r.Unchanged++
	}
}

// decide says what a row does to the store that has its external id (nil: none has).
func (c *candidate) decide(old *Store, defaults Defaults) (outcome string, d decision, err error) {
	if old == nil {
		in := c.in
		if in.Name == nil {
			in.Name = in.ExternalID
		}
		s, err := Decide(in, defaults)
		return rowCreated, decision{store: s}, err
	}
	s, err := old.with(c.in)
	if err != nil {
		return "", decision{}, err
	}
	fields := changed(old, &s)
	if len(fields) == 0 {
		return rowUnchanged, decision{}, nil
	}
	return rowUpdated, decision{s, "store.updated", map[string]any{"fields": fields}}, nil
}

func (b *Book) importRow(tx *db.Tx, c *candidate, old *Store, defaults Defaults) (string, decision, error) {
	outcome, d, err := c.decide(old, defaults)
	if err != nil {
		return "", d, err
	}
	switch outcome {
	case rowCreated:
		return outcome, d, b.insert(tx, &d.store)
	case rowUpdated:
		// Read once more under its lock: the many were read without.
		now, err := lockStore(tx, old.Key)
		if fault.KindOf(err) == fault.NotFound {
			return "", d, errRaced
		}
		if err != nil {
			return "", d, err
		}
		if outcome, d, err = c.decide(&now, defaults); err != nil || outcome != rowUpdated {
			return outcome, d, err
		}
		if err := rowKeepsPromises(tx, &now, &d.store); err != nil {
			return "", d, err
		}
		return outcome, d, b.keep(tx, &d.store, d)
	}
	return outcome, d, nil
}

// rowKeepsPromises is what Update refuses too, as a fault of the row: the others go on.
func rowKeepsPromises(q db.Queryer, old, s *Store) error {
	promised, err := shelfPromised(q, old, s)
	if err == nil && promised > 0 {
		err = fault.InvalidField("/shelf_units", "shelf-promised", "the store has promised to have %d units ready: keep room for them", promised)
	}
	return err
}

// column is a CSV column: its names, the place of its value in the API's store, and how a cell is
// read into an Input (from the default when empty).
type column struct {
	name    string
	aliases []string
	pointer string
	read    func(in *Input, cell string, d *Defaults) error
}

var columns = []column{
	{"external_id", []string{"store_id", "osm_id"}, "/external_id", text(func(in *Input) **string { return &in.ExternalID }, nil)},
	{"name", []string{"store_name"}, "/name", text(func(in *Input) **string { return &in.Name }, nil)},
	{"status", nil, "/status", readStatus},
	{"lat", []string{"latitude"}, "/location/lat", number(func(in *Input) **float64 { return &in.Lat })},
	{"lng", []string{"lon", "longitude"}, "/location/lng", number(func(in *Input) **float64 { return &in.Lng })},
	{"line1", []string{"address"}, "/address/line1", text(func(in *Input) **string { return &in.Line1 }, nil)},
	{"locality", []string{"city"}, "/address/locality", text(func(in *Input) **string { return &in.Locality }, nil)},
	{"region", nil, "/address/region", text(func(in *Input) **string { return &in.Region }, nil)},
	{"postal_code", []string{"zip", "postcode"}, "/address/postal_code", text(func(in *Input) **string { return &in.PostalCode }, nil)},
	{"country", nil, "/address/country", text(func(in *Input) **string { return &in.Country }, func(d *Defaults) string { return d.Country })},
	{"phone", nil, "/phone", text(func(in *Input) **string { return &in.Phone }, nil)},
	{"locale", nil, "/locale", text(func(in *Input) **string { return &in.Locale }, func(d *Defaults) string { return d.Locale })},
	{"time_zone", []string{"timezone"}, "/time_zone", text(func(in *Input) **string { return &in.TimeZone }, func(d *Defaults) string { return d.TimeZone })},
	{"opening_hours", []string{"hours"}, "/opening_hours", text(func(in *Input) **string { return &in.OpeningHours }, func(d *Defaults) string { return d.OpeningHours })},
	{"quiet_hours", nil, "/quiet_hours", text(func(in *Input) **string { return &in.QuietHours }, func(d *Defaults) string { return d.QuietHours })},
	{"service_radius_m", nil, "/service_radius_m", whole(func(in *Input) **int { return &in.ServiceRadiusM }, func(d *Defaults) int { return d.ServiceRadiusM })},
	{"slot_minutes", nil, "/capacity/slot_minutes", whole(func(in *Input) **int { return &in.SlotMinutes }, func(d *Defaults) int { return d.SlotMinutes })},
	{"orders_per_slot", nil, "/capacity/orders_per_slot", whole(func(in *Input) **int { return &in.OrdersPerSlot }, func(d *Defaults) int { return d.OrdersPerSlot })},
	{"shelf_units", nil, "/shelf_units", whole(func(in *Input) **int { return &in.ShelfUnits }, func(d *Defaults) int { return d.ShelfUnits })},
	{"auto_accept", nil, "/auto_accept", readAutoAccept},
	{"offer_timeout_s", nil, "/offer_timeout_s", whole(func(in *Input) **int { return &in.OfferTimeoutS }, func(d *Defaults) int { return d.OfferTimeoutS })},
}

func text(field func(*Input) **string, or func(*Defaults) string) func(*Input, string, *Defaults) error {
	return func(in *Input, cell string, d *Defaults) error {
		if cell == "" && or != nil {
			cell = or(d)
		}
		*field(in) = &cell
		return nil
	}
}

func number(field func(*Input) **float64) func(*Input, string, *Defaults) error {
	return func(in *Input, cell string, _ *Defaults) error {
		if cell == "" {
			return fmt.Errorf("a number is required")
		}
		// ParseFloat also reads NaN, infinities and hexadecimal, which no coordinate is.
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil || strings.Trim(cell, "0123456789+-.eE") != "" {
			return fmt.Errorf("%q is not a number like -1.304033", clip(cell, 40))
		}
		*field(in) = &v
		return nil
	}
}

func whole(field func(*Input) **int, or func(*Defaults) int) func(*Input, string, *Defaults) error {
	return func(in *Input, cell string, d *Defaults) error {
		v := or(d)
		if cell != "" {
			var err error
			if v, err = strconv.Atoi(cell); err != nil {
				return fmt.Errorf("%q is not a whole number", clip(cell, 40))
			}
		}
		*field(in) = &v
		return nil
	}
}

func readStatus(in *Input, cell string, _ *Defaults) error {
	if cell != "" {
		in.Status = &cell
	}
	return nil
}

func readAutoAccept(in *Input, cell string, d *Defaults) error {
	v := d.AutoAccept
	switch strings.ToLower(cell) {
	case "":
	case "true", "1", "yes":
		v = true
	case "false", "0", "no":
		v = false
	default:
		return fmt.Errorf("%q is neither true nor false", clip(cell, 40))
	}
	in.AutoAccept = &v
	return nil
}

func columnKey(header string) string { return strings.ToLower(strings.TrimSpace(header)) }

func columnNamed(header string, names func(*column) []string) *column {
	key := columnKey(header)
	for i := range columns {
		if slices.Contains(names(&columns[i]), key) {
			return &columns[i]
		}
	}
	return nil
}

func (im *importer) readCells(fields []string) (in Input, wrong []RowError) {
	if len(fields) != len(im.columns) {
		return in, []RowError{{Code: "column-count", Detail: fmt.Sprintf("the row has %d columns, the header %d", len(fields), len(im.columns))}}
	}
	for i, c := range im.columns {
		if c == nil {
			continue
		}
		cell := strings.TrimSpace(fields[i])
		note := func(code, detail string) {
			wrong = append(wrong, RowError{Field: strings.TrimSpace(im.header[i]), Code: code, Detail: detail})
		}
		if !utf8.ValidString(cell) {
			note("not-utf8", "the text is not valid UTF-8")
		} else if err := c.read(&in, cell, &im.options.Defaults); err != nil {
			note("not-readable", err.Error())
		}
	}
	return in, wrong
}

func (im *importer) readLine(line string) (Input, []RowError) {
	in, err := ParseInput([]byte(line))
	return in, im.rowErrors(err)
}

// inputJSON is the API's store as a sender writes it.
type inputJSON struct {
	ExternalID *string `json:"external_id"`
	Name       *string `json:"name"`
	Status     *string `json:"status"`
	Location   struct {
		Lat *float64 `json:"lat"`
		Lng *float64 `json:"lng"`
	} `json:"location"`
	Address struct {
		Line1      *string `json:"line1"`
		Locality   *string `json:"locality"`
		Region     *string `json:"region"`
		PostalCode *string `json:"postal_code"`
		Country    *string `json:"country"`
	} `json:"address"`
	Phone          *string `json:"phone"`
	Locale         *string `json:"locale"`
	TimeZone       *string `json:"time_zone"`
	OpeningHours   *string `json:"opening_hours"`
	QuietHours     *string `json:"quiet_hours"`
	ServiceRadiusM *int    `json:"service_radius_m"`
	Capacity       struct {
		SlotMinutes   *int `json:"slot_minutes"`
		OrdersPerSlot *int `json:"orders_per_slot"`
	} `json:"capacity"`
	ShelfUnits    *int  `json:"shelf_units"`
	AutoAccept    *bool `json:"auto_accept"`
	OfferTimeoutS *int  `json:"offer_timeout_s"`

	// What answers of the API carry besides: a list of stores can be imported as it was read.
	ID          json.RawMessage `json:"id"`
	Accepting   json.RawMessage `json:"accepting_orders"`
	OpenNow     json.RawMessage `json:"open_now"`
	PausedUntil json.RawMessage `json:"paused_until"`
	Cell        json.RawMessage `json:"h3_cell"`
	Version     json.RawMessage `json:"version"`
}

// ParseInput reads the API's store as a sender writes it: unknown members are refused, null is the
// same as missing. The error is a *fault.Error; it names the member if that can be told.
func ParseInput(data []byte) (Input, error) {
	if !utf8.Valid(data) {
		return Input{}, fault.InvalidField("", "not-utf8", "the text is not valid UTF-8")
	}
	var w inputJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Input{}, jsonFault(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Input{}, fault.InvalidField("", "not-json", "there is more than one JSON value")
	}
	return Input{ExternalID: w.ExternalID, Name: w.Name, Status: w.Status, Lat: w.Location.Lat, Lng: w.Location.Lng,
		Line1: w.Address.Line1, Locality: w.Address.Locality, Region: w.Address.Region, PostalCode: w.Address.PostalCode,
		Country: w.Address.Country, Phone: w.Phone, Locale: w.Locale, TimeZone: w.TimeZone, OpeningHours: w.OpeningHours,
		QuietHours: w.QuietHours, ServiceRadiusM: w.ServiceRadiusM, SlotMinutes: w.Capacity.SlotMinutes, OrdersPerSlot: w.Capacity.OrdersPerSlot,
		ShelfUnits: w.ShelfUnits, AutoAccept: w.AutoAccept, OfferTimeoutS: w.OfferTimeoutS}, nil
}

func jsonFault(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		pointer := ""
		if kind.Field != "" {
			pointer = "/" + strings.ReplaceAll(kind.Field, ".", "/")
		}
		return fault.InvalidField(pointer, "wrong-type", "a %s cannot stand here", clip(kind.Value, 60))
	case strings.HasPrefix(err.Error(), `json: unknown field "`):
		name := strings.TrimSuffix(strings.TrimPrefix(err.Error(), `json: unknown field "`), `"`)
		return fault.InvalidField("/"+clip(name, 60), "unknown", "there is no such member")
	}
	return fault.InvalidField("", "not-json", "the text is not a JSON object: %s", clip(strings.TrimPrefix(err.Error(), "json: "), 100))
}

// clip is the beginning of text in at most n bytes, cut between characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

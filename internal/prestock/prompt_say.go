package prestock

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/partner"
)

// Notice is a prompt in words, as its store is told it.
type Notice struct {
	Task  Task
	Kind  string // First, Again, Reminder50, Reminder80
	Lang  string // en, zh
	Title string
	Body  string
	// Until is when it is worth nothing any more. Moot: it is not now, because the store has answered
	// or counted, or the task is over.
	Until time.Time
	Moot  bool
	// After is when its store may be told, now or when its quiet hours end: they may have begun since the
	// prompt went out. Where they last beyond Until, it is now, as for a prompt (see moment).
	After time.Time
}

// Open is how many units the store may promise: 0 once it has answered, or cannot any more.
func (n *Notice) Open() int {
	if n.Moot || n.Task.Status != Prompted {
		return 0
	}
	return n.Task.Asked - n.Task.Reallocated
}

// Said is one prompt: of which task, and its kind.
type Said struct {
	Task int64
	Kind string // First, Again, Reminder50, Reminder80
}

// Notices puts prompts of one store into words, in its language and on its clock. What they say is
// true now: the numbers are those of the task as it stands. A task that was forgotten since is over; one
// of another store is not found.
func (b *Book) Notices(ctx context.Context, store int64, prompts []Said) ([]Notice, error) {
	q := b.db.Read(ctx)
	s, err := partner.LoadTx(q, store)
	if err != nil {
		return nil, err
	}
	tasks, campaigns := map[int64]Task{}, map[campaignSKU]Campaign{}
	list := make([]Notice, len(prompts))
	for i, p := range prompts {
		t, known := tasks[p.Task]
		if !known {
			t, err = loadTask(q, p.Task)
			if fault.KindOf(err) == fault.NotFound {
				w := wordsFor(s.Locale)
				list[i] = Notice{Kind: p.Kind, Lang: w.Lang, Title: w.Over, Body: w.Over, Until: b.db.Now(), Moot: true}
				continue
			}
			if err == nil && t.Store != store {
				err = fault.Missing("pre-stock task")
			}
			if err != nil {
				return nil, err
			}
			tasks[p.Task] = t
		}
		of := campaignSKU{t.Campaign, t.SKU}
		c, known := campaigns[of]
		if !known {
			if c, err = loadCampaignOf(q, of.campaign, of.sku); err != nil {
				return nil, err
			}
			campaigns[of] = c
		}
		list[i] = t.notice(&c, &s, p.Kind, b.db.Now())
	}
	return list, nil
}

type campaignSKU struct {
	campaign int64
	sku      string
}

// notice is a prompt of t in words.
func (t *Task) notice(c *Campaign, s *partner.Store, kind string, now time.Time) Notice {
	w := wordsFor(s.Locale)
	zone := s.Zone().Location()
	n := Notice{Task: *t, Kind: kind, Lang: w.Lang, Until: t.AckDeadline}
	units, answered := t.Asked-t.Reallocated, t.Status == Acknowledged || t.Status == Partially
	var body []string
	switch {
	case answered:
		units, n.Until = t.Committed, t.StockDeadline
		body = append(body, w.Keep)
	case t.Status != Prompted:
		body = append(body, w.Over)
	default:
		body = append(body, w.Ask, t.Reason(w.Lang))
		if fee := c.fee(t.SKU); fee != nil {
			body = append(body, fillIn(w.Fee, "fee", fee.String()))
		}
		body = append(body, w.Answer)
	}
	n.Moot = !answered && t.Status != Prompted || answered && kind != Again || !now.Before(n.Until)
	if n.After = s.Silence().Until(now); !n.After.Before(n.Until) {
		n.After = now
	}
	title, known := w.Title[kind]
	if !known {
		title = w.Title[First]
	}
	values := []string{"units", strconv.Itoa(units), "sku", t.SKU, "campaign", c.Name,
		"stock", w.clock(t.StockDeadline, zone), "ack", w.clock(t.AckDeadline, zone)}
	n.Title = fillIn(title, values...)
	for i := range body {
		body[i] = fillIn(body[i], values...)
	}
	n.Body = strings.Join(body, w.Space)
	return n
}

// Deal is what a store is asked a task for.
type Deal struct {
	Campaign string
	UnitFee  *Money // that the store gets for a unit sold; nil: nothing was said
}

// Deals are those of each task, by its key.
func (b *Book) Deals(ctx context.Context, tasks ...Task) (map[int64]Deal, error) {
	q := b.db.Read(ctx)
	campaigns := map[campaignSKU]Campaign{}
	out := make(map[int64]Deal, len(tasks))
	for _, t := range tasks {
		of := campaignSKU{t.Campaign, t.SKU}
		c, known := campaigns[of]
		if !known {
			var err error
			if c, err = loadCampaignOf(q, of.campaign, of.sku); err != nil {
				return nil, err
			}
			campaigns[of] = c
		}
		out[t.Key] = Deal{c.Name, c.fee(t.SKU)}
	}
	return out, nil
}

// fee is what a store gets for a unit of a SKU sold; nil: nothing was said.
func (c *Campaign) fee(sku string) *Money {
	for _, s := range c.SKUs {
		if s.SKU == sku {
			return s.UnitFee
		}
	}
	return nil
}

// String is m as people who know their currency write it: "2.50 KES".
func (m Money) String() string {
	digits, known := minorDigits[m.Currency]
	if !known {
		digits = 2
	}
	text := strconv.FormatInt(m.Amount, 10)
	sign := ""
	if m.Amount < 0 {
		sign, text = "-", text[1:]
	}
	if len(text) <= digits {
		text = strings.Repeat("0", digits+1-len(text)) + text
	}
	if digits > 0 {
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return sign + text + " " + m.Currency
}

// minorDigits are the currencies of ISO 4217 whose minor unit is not a hundredth.
var minorDigits = map[string]int{"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
	"UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4}

// stepIn is why a store is asked for what another cannot have, as kept in place of the sentence.
type stepIn struct {
	Metres int `json:"step_in_m"`
}

func (s stepIn) text() string {
	text, _ := json.Marshal(s) // of one number
	return string(text)
}

// Reason is why the store is asked for so many, in one sentence, in the language of a locale.
func (t *Task) Reason(locale string) string {
	w := wordsFor(locale)
	var s stepIn
	if strings.HasPrefix(t.ReasonText, "{") && json.Unmarshal([]byte(t.ReasonText), &s) == nil {
		return fillIn(w.StepIn, "distance", w.distance(s.Metres), "units", strconv.Itoa(t.Asked))
	}
	if t.ReasonText != "" {
		return t.ReasonText
	}
	return t.Why.text(w, t.Asked)
}

// text is the terms in a sentence.
func (y Terms) text(w *words, asked int) string {
	say := fillIn(w.New, "units", strconv.Itoa(asked))
	if y.CellUnits > 0 {
		say = fillIn(w.Sells, "cell", strconv.Itoa(y.CellUnits), "near", strconv.Itoa(y.NearUnits))
	}
	if y.Uplift > 1 {
		return fillIn(w.Uplift, "factor", strconv.FormatFloat(math.Round(10*y.Uplift)/10, 'f', -1, 64)) + w.Space + say
	}
	if first := say[0]; first >= 'a' && first <= 'z' {
		say = string(first-'a'+'A') + say[1:]
	}
	return say
}

func (w *words) distance(m int) string {
	if m < 1000 {
		return fillIn(w.Metres, "n", strconv.Itoa(m))
	}
	return fillIn(w.Kilometres, "n", fmt.Sprintf("%.1f", float64(m)/1000))
}

// Text is a store's word in plain words, in the language of a locale.
func (r Reliability) Text(locale string) string {
	w := wordsFor(locale)
	if r.Asked == 0 {
		return w.NoWord
	}
	say := func(n int64) string { return strconv.FormatInt(n, 10) }
	return fillIn(w.Word, "asked", say(r.Asked), "answered", say(r.Answered), "promised", say(r.Promised), "in_time", say(r.InTime), "counted", say(r.Counted))
}

// Notice is one prompt in words; see Notices.
func (b *Book) Notice(ctx context.Context, store int64, prompt Said) (Notice, error) {
	list, err := b.Notices(ctx, store, []Said{prompt})
	if err != nil {
		return Notice{}, err
	}
	return list[0], nil
}

package server

import (
	"net/http"
	"strconv"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/notify"
	"doorstep/internal/prestock"
)

// What a store has been told, and how well it keeps its word.

type wireMessage struct {
	ID     string `json:"id"`
	At     stamp  `json:"at"`
	Kind   string `json:"kind"`
	TaskID string `json:"task_id"`
	Locale string `json:"locale"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	Until  stamp  `json:"until"`
	Open   bool   `json:"open"`
	ReadAt *stamp `json:"read_at"`
}

func (k *call) listInbox() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	unread := false
	if s := k.query("unread"); s != "" {
		if unread, err = strconv.ParseBool(s); err != nil {
			return fault.InvalidField("unread", "not-a-boolean", "true or false")
		}
	}
	told, more, err := k.Notify.Messages(k.ctx, k.who.Store, cursor, limit, unread)
	if err != nil {
		return err
	}
	said := make([]prestock.Said, len(told))
	for i, d := range told {
		said[i] = prestock.Said{Task: d.Subject, Kind: d.Kind}
	}
	notices, err := k.Prestock.Notices(k.ctx, k.who.Store, said)
	if err != nil {
		return err
	}
	out := make([]wireMessage, len(told))
	var last int64
	for i, d := range told {
		n := &notices[i]
		out[i] = wireMessage{ID: k.names.Name(ident.Event, d.Event), At: stamp(d.At), Kind: n.Kind, TaskID: k.names.Name(ident.Prestock, d.Subject),
			Locale: n.Lang, Title: n.Title, Body: n.Body, Until: stamp(n.Until), Open: !n.Moot, ReadAt: stampOf(d.ReadAt)}
		last = d.Event
	}
	waiting, err := k.Notify.Unread(k.ctx, k.who.Store)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, struct {
		list[wireMessage]
		Unread int `json:"unread"`
	}{newList(k.names, out, more, last), waiting})
}

func (k *call) readInbox() error {
	var in struct {
		IDs []string `json:"ids"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	var events []int64
	if len(in.IDs) > 200 {
		f.Add("/ids", "too-many", "at most 200 at a time; none at all means every message")
	}
	for i, id := range in.IDs {
		event, ok := k.names.Parse(ident.Event, id)
		if !ok {
			f.Add("/ids/"+strconv.Itoa(i), "not-an-id", "the id of a message, as it was given")
		}
		events = append(events, event)
	}
	if err := f.Err(); err != nil {
		return err
	}
	if err := k.Notify.MarkRead(k.ctx, k.who.Store, events); err != nil {
		return err
	}
	left, err := k.Notify.Unread(k.ctx, k.who.Store)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, map[string]int{"unread": left})
}

func (k *call) reliability() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	r, err := k.Prestock.Reliability(k.ctx, s.Key)
	if err != nil {
		return err
	}
	type counts struct {
		Asked    int64 `json:"asked"`
		Answered int64 `json:"answered"`
		Promised int64 `json:"promised"`
		InTime   int64 `json:"stocked_in_time"`
		Counted  int64 `json:"counted_in_full"`
	}
	locale := "en"
	if k.who.Role == auth.RoleStore {
		locale = s.Locale
	}
	return k.reply(http.StatusOK, struct {
		Store string `json:"store_id"`
		counts
		Answers float64 `json:"answer_probability"`
		Keeps   float64 `json:"promise_probability"`
		Text    string  `json:"text"`
	}{k.names.Name(ident.Store, s.Key), counts{r.Asked, r.Answered, r.Promised, r.InTime, r.Counted}, share(r.Answers), share(r.Keeps), r.Text(locale)})
}

// share is a chance in ten-thousandths: more is not known.
func share(p float64) float64 { return float64(int(p*1e4+.5)) / 1e4 }

// promptsOut is how the prompts of tasks travelled, by task.
func (k *call) promptsOut(tasks ...prestock.Task) (map[int64][]wirePrompt, error) {
	var events []int64
	for _, t := range tasks {
		for _, p := range t.Prompts {
			events = append(events, p.Event)
		}
	}
	var deliveries map[int64][]notify.Delivery
	if k.Notify != nil {
		var err error
		if deliveries, err = k.Notify.Deliveries(k.ctx, events); err != nil {
			return nil, err
		}
	}
	out := make(map[int64][]wirePrompt, len(tasks))
	for _, t := range tasks {
		list := []wirePrompt{}
		for _, p := range t.Prompts {
			w := wirePrompt{At: stamp(p.At), Channel: notify.Inbox, LeadS: p.LeadS, Kind: p.Kind, State: notify.Pending}
			found := deliveries[p.Event]
			if len(found) == 0 {
				list = append(list, w) // nobody has read the log so far yet
			}
			for i := range found {
				w.Channel, w.State = found[i].Channel(), found[i].State
				list = append(list, w)
			}
		}
		out[t.Key] = list
	}
	return out, nil
}

// ---- exceptions

type wireException struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	StoreID  string `json:"store_id"`
	TaskID   string `json:"task_id"`
	Detail   string `json:"detail"`
	Times    int64  `json:"times"`
	OpenedAt stamp  `json:"opened_at"`
	LastAt   stamp  `json:"last_at"`
	ClosedAt *stamp `json:"closed_at"`
}

func (k *call) exceptionOut(x *notify.Exception) wireException {
	return wireException{ID: k.names.Name(notify.ExceptionPrefix, x.Key), Kind: x.Kind, StoreID: k.names.Name(ident.Store, x.Store),
		TaskID: k.names.Name(ident.Prestock, x.Subject), Detail: x.Detail, Times: x.Times, OpenedAt: stamp(x.OpenedAt), LastAt: stamp(x.LastAt),
		ClosedAt: stampOf(x.ClosedAt)}
}

func (k *call) listExceptions() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	list, more, err := k.Notify.Exceptions(k.ctx, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireException, len(list))
	var last int64
	for i := range list {
		out[i], last = k.exceptionOut(&list[i]), list[i].Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func (k *call) closeException() error {
	key, err := k.key(notify.ExceptionPrefix, "exception")
	if err != nil {
		return err
	}
	x, err := k.Notify.CloseException(k.ctx, key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, k.exceptionOut(&x))
}

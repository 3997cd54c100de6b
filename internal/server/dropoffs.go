package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/auth"
	"doorstep/internal/dropoff"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// maxPhoto leaves room for what multipart puts around the picture.
const maxPhoto = dropoff.MaxUploadBytes + 64<<10

// act runs a custody action on the order of the path.
func (k *call) act(f func(ctx context.Context, key int64, occurred time.Time) (order.Order, error)) error {
	var in struct {
		OccurredAt *string `json:"occurred_at"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	occurred, err := occurredAt(in.OccurredAt)
	if err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	return k.moved(o, f, occurred)
}

func occurredAt(s *string) (time.Time, error) {
	var f fault.Fields
	if t := instant(&f, "/occurred_at", s); t != nil {
		return *t, nil
	}
	return time.Time{}, f.Err()
}

func (k *call) packed() error   { return k.act(k.Dropoff.Ready) }
func (k *call) pickUp() error   { return k.act(k.Dropoff.PickUp) }
func (k *call) handBack() error { return k.act(k.Dropoff.HandBack) }
func (k *call) depart() error   { return k.act(k.Dropoff.Depart) }
func (k *call) receive() error  { return k.act(k.Dropoff.Receive) }
func (k *call) sendBack() error { return k.act(k.Dropoff.Return) }

func (k *call) collect() error {
	var in struct {
		Code       string  `json:"code"`
		OccurredAt *string `json:"occurred_at"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	occurred, err := occurredAt(in.OccurredAt)
	if err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	if in.Code == "" {
		return fault.InvalidField("/code", "required", "ask the customer for the collection code")
	}
	err = k.guessed(func() (err error) { o, err = k.Dropoff.Collect(k.ctx, o.Key, in.Code, occurred); return err })
	return k.showOrder(o, err)
}

// ---- photos

// photoFaults says who has to mend what about a photo.
var photoFaults = map[string]fault.Kind{dropoff.PhotoTooLarge: fault.TooLarge, dropoff.PhotoTooManyPixels: fault.TooLarge,
	dropoff.PhotoType: fault.Unsupported}

func photoFault(err error) error {
	var p *dropoff.PhotoError
	if !errors.As(err, &p) {
		return err
	}
	kind, ok := photoFaults[p.Code]
	if !ok {
		kind = fault.Invalid
	}
	f := fault.New(kind, p.Code, "%s", p.Detail)
	f.Fields = []fault.Field{{Pointer: "/photo", Code: p.Code, Detail: p.Detail}}
	return f
}

func (k *call) savePhoto() error {
	// A slow phone takes room for its bytes, not the place of one whose photo is here.
	raw, err := k.photoBytes()
	if err != nil {
		return err
	}
	select {
	case decoders <- struct{}{}:
		defer func() { <-decoders }()
	case <-time.After(10 * time.Second):
		return fault.New(fault.Unavailable, "too-busy", "many photos are being worked on; try again").After(3 * time.Second)
	}
	ctx, cancel := context.WithTimeout(k.ctx, requestTimeout)
	defer cancel()
	p, err := dropoff.Sanitize(ctx, raw)
	if err != nil {
		return photoFault(err)
	}
	if err := k.Dropoff.SavePhoto(ctx, k.who.Key, p); err != nil {
		return err
	}
	return k.reply(http.StatusCreated, map[string]any{"sha256": hex.EncodeToString(p.SHA256[:]), "width": p.Width, "height": p.Height, "bytes": len(p.JPEG)})
}

// decoders bounds the photos being decoded: each takes many times its bytes.
var decoders = make(chan struct{}, 16)

func (k *call) photoBytes() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(k.r.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return nil, fault.New(fault.Unsupported, "unsupported-media-type", "send image/jpeg, image/png, image/webp, or multipart/form-data")
	case kind == "multipart/form-data":
		return k.photoPart()
	case strings.HasPrefix(kind, "image/") || kind == "application/octet-stream":
		return k.readAll(dropoff.MaxUploadBytes) // what it is, its bytes say
	}
	return nil, fault.New(fault.Unsupported, "unsupported-media-type", "%q is not a photo: send image/jpeg, image/png, image/webp, or multipart/form-data", kind)
}

func (k *call) photoPart() ([]byte, error) {
	if k.body == nil { // else it is held already
		if err := k.hold(maxPhoto); err != nil {
			return nil, err
		}
	}
	k.r.Body = http.MaxBytesReader(k.c.Response(), k.r.Body, maxPhoto)
	parts, err := k.r.MultipartReader()
	if err != nil {
		return nil, fault.New(fault.Malformed, "broken-multipart", "the multipart body cannot be read").From(err)
	}
	for n := 0; n < 16; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bodyError(err, maxPhoto)
		}
		if part.FormName() != "photo" && part.FileName() == "" {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(part, dropoff.MaxUploadBytes+1))
		if err != nil {
			return nil, bodyError(err, maxPhoto)
		}
		return data, nil
	}
	return nil, fault.InvalidField("/photo", "required", "the form has no file in its field photo")
}

// showPhoto serves a photo to whoever holds a signed link.
func (k *call) showPhoto() error {
	sha := k.param("sha256")
	expires, err := strconv.ParseInt(k.query("expires"), 10, 64)
	if err != nil || !dropoff.CheckPhotoURL(k.names, sha, expires, k.query("signature"), k.DB.Now()) {
		return fault.Missing("photo")
	}
	data, err := k.Dropoff.LoadPhoto(k.ctx, sha)
	if err != nil {
		return err
	}
	k.header.Set("Content-Type", "image/jpeg")
	k.header.Set("Cache-Control", "private, max-age=600")
	// A browser that shows a picture by itself lays it out with styles of its own.
	k.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	k.status, k.answer = http.StatusOK, data
	return nil
}

// ---- evidence

type wireFix struct {
	Lat       *float64 `json:"lat"`
	Lng       *float64 `json:"lng"`
	AccuracyM *float64 `json:"accuracy_m,omitempty"`
}

type dropoffEventIn struct {
	ID         string   `json:"id"`
	OrderID    string   `json:"order_id"`
	Attempt    int      `json:"attempt"`
	Type       string   `json:"type"`
	OccurredAt *string  `json:"occurred_at"`
	Location   *wireFix `json:"location"`
	Photo      string   `json:"photo_sha256"`
	Signal     string   `json:"signal"`
	Method     string   `json:"method"`
	DistanceM  *float64 `json:"distance_m"`
	PIN        string   `json:"pin"`
	Reason     string   `json:"reason"`
	Note       string   `json:"note"`
	Supersedes string   `json:"supersedes"`
	Name       string   `json:"name"`
	Signature  string   `json:"signature_sha256"`
	IDChecked  bool     `json:"id_checked"`
	Cash       *cashIn  `json:"cash_collected"`
}

type dropoffResult struct {
	ID      string   `json:"id"`
	Result  string   `json:"result"`
	Problem *problem `json:"problem,omitempty"`
}

const maxDropoffEvents = 500

func (k *call) recordDropoffs() error {
	var in []json.RawMessage
	if err := k.decode(&in); err != nil {
		return err
	}
	if len(in) == 0 || len(in) > maxDropoffEvents {
		return fault.InvalidField("", "out-of-range", "send 1 to %d events at once", maxDropoffEvents)
	}
	out := make([]dropoffResult, len(in))
	var good []dropoff.Event
	var places []int
	for i, text := range in {
		// Each stands alone, to the last comma: a phone's queue must not stick behind one event.
		var one dropoffEventIn
		err := strictJSON(text, &one)
		var e dropoff.Event
		if err == nil {
			e, err = k.dropoffEvent(&one)
		}
		if err != nil {
			out[i] = k.refused(one.ID, err)
			continue
		}
		good, places = append(good, e), append(places, i)
	}
	results, err := k.record(good)
	if err != nil {
		return err
	}
	for j, r := range results {
		if r.Err != nil {
			out[places[j]] = k.refused(r.ID, r.Err)
		} else {
			out[places[j]] = dropoffResult{ID: r.ID, Result: r.Result}
		}
	}
	return k.reply(http.StatusOK, map[string]any{"results": out})
}

func (k *call) refused(id string, err error) dropoffResult {
	p := k.asProblem(err)
	return dropoffResult{ID: id, Result: "refused", Problem: &p}
}

// dropoffEvent is one event as the dropoff package judges it, if its order is this caller's.
func (k *call) dropoffEvent(in *dropoffEventIn) (dropoff.Event, error) {
	var f fault.Fields
	e := dropoff.Event{ID: in.ID, Attempt: in.Attempt, Type: in.Type, PhotoSHA256: in.Photo, Signal: in.Signal, Method: in.Method,
		DistanceM: in.DistanceM, PIN: in.PIN, Reason: in.Reason, Note: in.Note, Supersedes: in.Supersedes,
		Network: slices.Contains(network, k.who.Role), Name: in.Name, SignatureSHA256: in.Signature, IDChecked: in.IDChecked,
		Cash: in.Cash.money(&f, "/cash_collected")}
	if in.OccurredAt == nil {
		f.Add("/occurred_at", "required", "say when it happened, by the device's clock")
	}
	if t := instant(&f, "/occurred_at", in.OccurredAt); t != nil {
		e.OccurredAt = *t
	}
	if l := in.Location; l != nil {
		p := (&locationIn{l.Lat, l.Lng}).point(&f, "/location")
		e.Location, e.AccuracyM = &p, l.AccuracyM
		if ok, hint := geo.Check(p); !ok {
			f.Add("/location", "invalid-location", "%s", hint)
		}
	}
	if err := f.Err(); err != nil {
		return e, err
	}
	key, ok := k.names.Parse(ident.Order, in.OrderID)
	if !ok {
		return e, fault.Missing("order")
	}
	e.Order = key
	if k.who.Role == auth.RoleStore {
		o, err := k.Orders.Get(k.ctx, key)
		if err != nil {
			return e, err
		}
		return e, k.mayOrder(&o)
	}
	return e, nil
}

type wireDropoffEvent struct {
	ID           string       `json:"id"`
	Type         string       `json:"type"`
	OccurredAt   stamp        `json:"occurred_at"`
	RecordedAt   stamp        `json:"recorded_at"`
	Location     *wireFix     `json:"location"`
	Photo        *string      `json:"photo_sha256"`
	Signal       *string      `json:"signal"`
	Method       *string      `json:"method"`
	DistanceM    *float64     `json:"distance_m"`
	Reason       *string      `json:"reason"`
	Note         *string      `json:"note"`
	Supersedes   *string      `json:"supersedes"`
	SupersededBy *string      `json:"superseded_by"`
	Confirmed    bool         `json:"confirmed"`
	Name         *string      `json:"name"`
	Signature    *string      `json:"signature_sha256"`
	IDChecked    bool         `json:"id_checked"`
	Cash         *order.Money `json:"cash_collected"`
	Actor        *string      `json:"actor,omitempty"` // for the network only
}

type wirePhoto struct {
	SHA256    string `json:"sha256"`
	URL       string `json:"url"`
	ExpiresAt stamp  `json:"expires_at"`
}

type wireAttempt struct {
	ID      string             `json:"id"`
	Attempt int                `json:"attempt"`
	Leg     string             `json:"leg"`
	State   string             `json:"state"`
	Grade   *string            `json:"grade"`
	Flags   []string           `json:"flags"`
	Reason  *string            `json:"reason"`
	Chain   []wireDropoffEvent `json:"chain"`
	Photos  []wirePhoto        `json:"photos"`
}

func (k *call) signedPhoto(sha string) wirePhoto {
	now := k.DB.Now()
	return wirePhoto{sha, dropoff.PhotoURLPath(k.names, sha, now), stamp(now.Add(dropoff.PhotoLife))}
}

// photos are the signed links of the photos of a chain, each once.
func (k *call) photos(c dropoff.Chain) []wirePhoto {
	out := []wirePhoto{}
	seen := map[string]bool{"": true}
	for _, e := range c {
		for _, sha := range []string{e.PhotoSHA256, e.SignatureSHA256} {
			if !seen[sha] {
				seen[sha] = true
				out = append(out, k.signedPhoto(sha))
			}
		}
	}
	return out
}

func (k *call) listDropoffs() error {
	o, err := k.theOrder()
	if err != nil {
		return err
	}
	out, err := k.attemptsOut(o.Key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

// attemptsOut are the attempts at an order with their evidence.
func (k *call) attemptsOut(order int64) ([]wireAttempt, error) {
	attempts, err := k.Dropoff.Attempts(k.ctx, order)
	if err != nil {
		return nil, err
	}
	out := make([]wireAttempt, len(attempts))
	for i := range attempts {
		a := &attempts[i]
		out[i] = wireAttempt{ID: k.names.Name(ident.Dropoff, a.Key), Attempt: a.N, Leg: a.Leg, State: a.State, Grade: optional(a.Grade),
			Flags: append([]string{}, a.Flags...), Reason: optional(a.Reason), Chain: []wireDropoffEvent{}, Photos: k.photos(a.Events)}
		by := a.Events.Superseded()
		for j := range a.Events {
			w := k.dropoffEventOut(&a.Events[j])
			w.SupersededBy = optional(by[w.ID])
			out[i].Chain = append(out[i].Chain, w)
		}
	}
	return out, nil
}

// dropoffEventOut is an event as it was recorded. Who reported it is for those who answer for the network.
func (k *call) dropoffEventOut(e *dropoff.Event) wireDropoffEvent {
	w := wireDropoffEvent{ID: e.ID, Type: e.Type, OccurredAt: stamp(e.OccurredAt), RecordedAt: stamp(e.RecordedAt),
		Photo: optional(e.PhotoSHA256), Signal: optional(e.Signal), Method: optional(e.Method), DistanceM: e.DistanceM,
		Reason: optional(e.Reason), Note: optional(e.Note), Supersedes: optional(e.Supersedes), Confirmed: e.Confirmed,
		Name: optional(e.Name), Signature: optional(e.SignatureSHA256), IDChecked: e.IDChecked, Cash: e.Cash}
	if e.Location != nil {
		w.Location = &wireFix{&e.Location.Lat, &e.Location.Lng, e.AccuracyM}
	}
	if slices.Contains(network, k.who.Role) {
		w.Actor = optional(e.Actor)
	}
	return w
}

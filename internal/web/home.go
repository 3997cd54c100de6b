package web

import (
	"fmt"
	"io"
	"strconv"
)

// Home is the front page of a running Doorstep: what it is, what to look at,
// and a first call to the API.
type Home struct {
	Lang   string // "en" or "zh", from Lang
	Stores int    // stores in the network; counts of zero are not shown
	Orders int    // orders so far
	Tracks []HomeTrack
	Curl   string // a command ready to paste; empty shows none
}

// HomeTrack is a tracking page worth a look, in the demo city.
type HomeTrack struct {
	Status string // an order status
	URL    string // path of the page, "/t/…"
}

type homeView struct {
	page
	Scene          scene
	Stores, Orders string
	Tracks         []homeTrackView
	Curl           string
}

type homeTrackView struct{ Head, Code, URL string }

// RenderHome draws the front page. It fails on a status it has no words for.
func RenderHome(w io.Writer, h Home) error {
	words := wordsFor(h.Lang)
	v := homeView{
		page:  page{W: words, Title: words.HomeTitle},
		Scene: scene{Bike: 172, Parcel: 328},
		Curl:  h.Curl,
	}
	if h.Stores > 0 {
		v.Stores = grouped(h.Stores)
	}
	if h.Orders > 0 {
		v.Orders = grouped(h.Orders)
	}
	for _, t := range h.Tracks {
		phrase, ok := words.phrase(t.Status, "", "")
		if !ok {
			return fmt.Errorf("web: unknown order status %q", t.Status)
		}
		v.Tracks = append(v.Tracks, homeTrackView{Head: phrase.Head, Code: t.Status, URL: t.URL})
	}
	return render(w, "home.html", v)
}

// grouped writes 30561 as 30,561.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

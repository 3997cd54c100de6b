package geo

import (
	"errors"
	"slices"
)

// Layer is where the things of one kind are: the cell of each, all of one
// resolution, in ascending order. A cell may come several times.
type Layer []Cell

// Part is a run of a layer: from Lo up to, without, Hi.
type Part struct{ Lo, Hi int }

// In returns the part of the layer that lies in c, which is not finer than the
// layer's cells.
func (l Layer) In(c Cell) Part {
	if len(l) == 0 {
		return Part{}
	}
	first, last := Within(c, l[0].Resolution())
	lo, _ := slices.BinarySearch(l, first)
	hi, _ := slices.BinarySearch(l[lo:], last+1)
	return Part{lo, lo + hi}
}

// ErrStop is returned by a visit that has seen enough.
var ErrStop = errors.New("geo: enough")

// Visit visits, in ascending order, each cell of resolution res that has its
// centre in the box and holds something of a layer; parts[i] is what it holds of
// layers[i]. No layer is coarser than res. It ends at visit's first error and
// returns that, nil instead of ErrStop.
//
// It descends from the coarsest cells and leaves out those where the box cannot be:
// the cost is that of the cells it visits and of those along the box's edge,
// whatever else the layers hold.
func Visit(box Box, res int, layers []Layer, visit func(c Cell, parts []Part) error) error {
	w := visiting{box: box, res: res, layers: layers, visit: visit}
	all := make([]Part, len(layers))
	for i, l := range layers {
		all[i].Hi = len(l)
	}
	if err := w.descend(all, 0); !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}

type visiting struct {
	box    Box
	res    int
	layers []Layer
	visit  func(Cell, []Part) error
	spare  [MaxRes + 1][]Part // one list for each resolution: a visit is called often
}

func (w *visiting) descend(parts []Part, res int) error {
	for {
		first, ok := w.first(parts)
		if !ok {
			return nil
		}
		c := first.Above(res)
		inside := append(w.spare[res][:0], parts...)
		w.spare[res] = inside
		for i, l := range w.layers {
			if from := l[parts[i].Lo:parts[i].Hi]; len(from) > 0 {
				_, last := Within(c, from[0].Resolution())
				inside[i].Hi = parts[i].Lo + upTo(from, last)
				parts[i].Lo = inside[i].Hi
			}
		}
		var err error
		switch {
		case res == w.res:
			if w.box.Holds(Center(c)) {
				err = w.visit(c, inside)
			}
		case w.box.MayHold(c):
			err = w.descend(inside, res+1)
		}
		if err != nil {
			return err
		}
	}
}

// first is the least cell, by the bits that name places, at the head of a part.
func (w *visiting) first(parts []Part) (least Cell, ok bool) {
	place := func(c Cell) Cell { return c &^ (15 << 52) }
	for i, p := range parts {
		if p.Lo < p.Hi && (!ok || place(w.layers[i][p.Lo]) < place(least)) {
			least, ok = w.layers[i][p.Lo], true
		}
	}
	return least, ok
}

// upTo is how many cells at the head of l are not above last. Most often they are
// few, so it doubles its step before it halves.
func upTo(l Layer, last Cell) int {
	step := 1
	for step < len(l) && l[step] <= last {
		step *= 2
	}
	n, _ := slices.BinarySearch(l[:min(step, len(l))], last+1)
	return n
}

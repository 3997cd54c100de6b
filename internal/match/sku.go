package match

import (
	"strings"
	"sync"
	"sync/atomic"

	"doorstep/internal/order"
)

// A SKU is a text outside and a small number in here. Only what a store's rows name gets a number:
// orders may name anything, and must not fill the memory with it.
type skus struct {
	mu   sync.RWMutex
	of   map[string]*sku
	byID []*sku
}

type sku struct {
	id      uint32
	holders atomic.Int64 // stores that have it to give
}

// tag is the column of the index that says which stores have it to give. The first SKUs have one
// each. The others share some: the stores of such a column may have it, those that are not do not.
func (k *sku) tag() uint8 { return tagOf(k.id) }

const ownColumns, columns = 192, 256

func tagOf(id uint32) uint8 {
	if id < ownColumns {
		return uint8(id)
	}
	return uint8(ownColumns + id%(columns-ownColumns))
}

func newSKUs() *skus { return &skus{of: map[string]*sku{}} }

// known is the number of a SKU, a new one if nobody asked before.
func (n *skus) known(name string) *sku {
	n.mu.RLock()
	k := n.of[name]
	n.mu.RUnlock()
	if k != nil {
		return k
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if k = n.of[name]; k == nil {
		k = &sku{id: uint32(len(n.byID))}
		n.of[strings.Clone(name)] = k
		n.byID = append(n.byID, k)
	}
	return k
}

func (n *skus) numbered(id uint32) *sku {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.byID[id]
}

// need is how many units of a SKU somebody wants.
type need struct {
	id    uint32
	units int
}

// needs are the units wanted of each SKU, each SKU once. Most orders are for a few: these cost no
// allocation.
type needs struct {
	few  [8]need
	tags [8]uint8
	n    int
	more []need // all, once they are more than few
}

func (w *needs) all() []need {
	if w.more != nil {
		return w.more
	}
	return w.few[:w.n]
}

// unsure is what the columns leave open: a store in a SKU's own column has one unit at least. That
// spares most orders a look at the counts, which lie far from all else.
func (w *needs) unsure() []need {
	all := w.all()
	for _, n := range all {
		if w.more != nil || n.units > 1 || n.id >= ownColumns {
			return all
		}
	}
	return nil
}

// columns are the tags of the first few SKUs: enough to pass over most stores.
func (w *needs) columns() []uint8 { return w.tags[:w.n] }

// read takes the needs of items. ok is false when there is one that no store has to give; a SKU
// without a number is not among the needs then.
func (n *skus) read(w *needs, items []order.Item) (ok bool) {
	if len(items) == 0 {
		return true
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	ok = true
	for _, it := range items {
		k := n.of[it.SKU]
		if k == nil {
			return false
		}
		ok = ok && k.holders.Load() > 0
		w.add(k, it.Quantity)
	}
	return ok
}

// counted is the needs of items that rows have already counted: all of them get numbers.
func (n *skus) counted(w *needs, items []order.Item) {
	for _, it := range items {
		w.add(n.known(it.SKU), it.Quantity)
	}
}

func (w *needs) add(k *sku, units int) {
	for i := range w.all() {
		if have := &w.all()[i]; have.id == k.id {
			have.units += units
			return
		}
	}
	switch {
	case w.more != nil:
		w.more = append(w.more, need{k.id, units})
	case w.n < len(w.few):
		w.few[w.n], w.tags[w.n] = need{k.id, units}, k.tag()
		w.n++
	default:
		w.more = append(append([]need(nil), w.few[:]...), need{k.id, units})
	}
}

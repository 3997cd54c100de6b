package server

import (
	"bytes"
	"net/http"
	"time"

	"doorstep/internal/audit"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// exporting bounds the bundles that are being made: each holds its photos in memory.
var exporting = make(chan struct{}, 4)

// exportOrder gives out what proves a delivery, to be checked anywhere: see audit.Bundle. It holds what
// colleagues noted, and which other stores were asked; a merchant has the rest from its own lists.
func (k *call) exportOrder() error {
	o, err := k.theOrder()
	if err != nil {
		return err
	}
	select {
	case exporting <- struct{}{}:
		defer func() { <-exporting }()
	case <-k.ctx.Done():
		return fault.New(fault.Unavailable, "too-busy", "many bundles are being made; try again").After(3 * time.Second)
	}
	var b bytes.Buffer
	found, err := audit.Export(k.ctx, k.DB, o.Key, &b)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		k.Log.Error("an order was changed behind the program's back", "order", k.names.Name(ident.Order, o.Key), "findings", len(found))
	}
	k.header.Set("Content-Type", "application/zip")
	k.header.Set("Content-Disposition", `attachment; filename="`+k.names.Name(ident.Order, o.Key)+`.zip"`)
	k.header.Set("Cache-Control", "no-store")
	k.status, k.answer = http.StatusOK, b.Bytes()
	return nil
}

// auditKey is the key by which bundles are checked.
func (k *call) auditKey() error {
	key, err := audit.PublicKey(k.ctx, k.DB)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, map[string]string{"public_key": key})
}

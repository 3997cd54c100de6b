// Package migrations holds the schema, one text for both engines.
//
// A file is NNNN_name.sql and is never changed once it has landed. BIGKEY, BYTES and CLUSTERED
// are the words the engines spell differently; package db fills them in.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"strconv"
)

//go:embed *.sql
var files embed.FS

// File is one step of the schema.
type File struct {
	Version int64
	SQL     string
}

// Read gives the steps in order.
func Read() ([]File, error) {
	names, err := fs.Glob(files, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	out := make([]File, 0, len(names))
	for _, name := range names {
		if len(name) < 5 {
			return nil, fmt.Errorf("migration %q does not begin with NNNN_", name)
		}
		v, err := strconv.ParseInt(name[:4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %q does not begin with NNNN_", name)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, File{Version: v, SQL: string(text)})
	}
	return out, nil
}

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// row gives the fields of a CSV row by the name of their column, and remembers what was wrong.
type row struct {
	columns map[string]int
	cells   []string
	err     error
}

func (r *row) text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		r.err = errors.Join(r.err, fmt.Errorf("no column %q", column))
		return ""
	}
	return r.cells[i]
}

func (r *row) number(column string) float64 {
	x, err := strconv.ParseFloat(r.text(column), 64)
	r.err = errors.Join(r.err, err)
	return x
}

// readTable calls f for each row of a file.
func readTable(folder, name string, f func(r *row)) error {
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	defer file.Close()
	in := csv.NewReader(file)
	head, err := in.Read()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	columns := map[string]int{}
	for i, c := range head {
		columns[c] = i
	}
	for n := 1; ; n++ {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		r := &row{columns: columns, cells: cells, err: err}
		if err == nil {
			f(r)
		}
		if r.err != nil {
			return fmt.Errorf("%s: row %d: %w", name, n, r.err)
		}
	}
}

package db

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"doorstep/internal/seal"
)

// Reseal seals rows of a sealed table anew as they now stand, for changes that are rare or that do not
// know the whole row. where narrows the rows (`key = ?`); they are few.
func (t *Tx) Reseal(table *Table, where string, args ...any) error {
	columns := table.sealed.Columns
	return t.each(table, columns, where, args, func(values []any) error {
		_, err := t.Exec(`UPDATE `+table.name+` SET seal = ? WHERE `+columns[0]+` = ?`, seal.Seal(table.sealed, values), values[0])
		return err
	})
}

// EraseEvidence empties the personal columns of rows of evidence and keeps, in the column kept, what
// they and the salt digested to. Texts become empty, everything else NULL.
func (t *Tx) EraseEvidence(table *Table, where string, args ...any) error {
	if err := t.Overwrite(); err != nil {
		return err
	}
	columns := table.sealed.Columns
	return t.each(table, append(slices.Clone(columns), "seal"), where, args, func(values []any) error {
		stored, _ := values[len(columns)].([]byte)
		set, now := "", []any{}
		for i, c := range columns {
			if table.sealed.Late[i] {
				continue
			}
			set += c + ` = ?, `
			if _, text := values[i].(string); text {
				now = append(now, "")
			} else {
				now = append(now, nil)
			}
		}
		var inner any // none without a seal: the row is from before there were any, or erased
		if len(stored) == seal.Size && int(stored[0]) <= len(columns) && values[slices.Index(columns, "salt")] != nil {
			d := seal.Early(table.sealed, values[:stored[0]])
			inner = d[:]
		}
		_, err := t.Exec(`UPDATE `+table.name+` SET `+set+`kept = coalesce(?, kept) WHERE `+columns[0]+` = ?`, append(now, inner, values[0])...)
		return err
	})
}

// each reads rows before it calls f for them, which may change them.
func (t *Tx) each(table *Table, columns []string, where string, args []any, f func(values []any) error) error {
	rows, err := t.rows(`SELECT `+strings.Join(columns, ", ")+` FROM `+table.name+` WHERE `+where, args)
	for i := 0; i < len(rows) && err == nil; i++ {
		err = f(rows[i])
	}
	return err
}

func (t *Tx) rows(query string, args []any) (rows [][]any, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return nil, err
	}
	err = t.run.values(func(values []any) error {
		rows = append(rows, slices.Clone(values))
		return nil
	}, query, args)
	return rows, err
}

// SealEvidence salts and seals a row of evidence that was just written, and returns its seal in hex, for
// the log to pin it. Error: ErrNoRows when where names no row.
func (t *Tx) SealEvidence(table *Table, where string, args ...any) (digest string, err error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	columns := table.sealed.Columns
	err = t.each(table, columns, where, args, func(values []any) error {
		values[slices.Index(columns, "salt")] = salt
		s := seal.Seal(table.sealed, values)
		digest = hex.EncodeToString(s)
		_, err := t.Exec(`UPDATE `+table.name+` SET salt = ?, seal = ? WHERE `+columns[0]+` = ?`, salt, s, values[0])
		return err
	})
	if err == nil && digest == "" {
		err = ErrNoRows
	}
	return digest, err
}

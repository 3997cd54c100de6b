package dropoff

import (
	"time"

	"doorstep/internal/db"
)

// Erase takes out of an order's evidence what is about a person: where the phone was, who took it, notes,
// and photos that no other order stands on. That there was a photo, its hash, and when, stays.
func Erase(tx *db.Tx, order int64) error {
	if err := tx.Overwrite(); err != nil {
		return err
	}
	var photos []string
	if err := tx.Select(&photos, `SELECT DISTINCT p.sha256 FROM dropoff_event e JOIN photo p ON p.sha256 IN (e.photo, e.signature)
		WHERE e.order_key = ? AND p.erased_at IS NULL`, order); err != nil {
		return err
	}
	for _, sha := range photos {
		if others, err := standsElsewhere(tx, sha, order); err != nil {
			return err
		} else if others {
			continue
		}
		if err := erasePhoto(tx, sha); err != nil {
			return err
		}
	}
	return tx.EraseEvidence(evidence, `order_key = ?`, order)
}

// standsElsewhere reports whether an order that is not erased names a photo too, as one of the parcel or of
// a signature, whether that still counts or was superseded.
func standsElsewhere(tx *db.Tx, sha string, order int64) (bool, error) {
	for _, column := range []string{"photo", "signature"} {
		var n int
		if err := tx.Get(&n, `SELECT count(*) FROM (SELECT 1 FROM dropoff_event e JOIN orders o ON o.key = e.order_key
			WHERE e.`+column+` = ? AND e.`+column+` <> '' AND e.order_key <> ? AND o.erased_at IS NULL LIMIT 1) x`, sha, order); err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

func erasePhoto(tx *db.Tx, sha string) error {
	for _, q := range []string{`DELETE FROM photo_look WHERE sha256 = ?`, `UPDATE photo_use SET look = NULL WHERE sha256 = ?`} {
		if _, err := tx.Exec(q, sha); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE photo SET data = ?, erased_at = ? WHERE sha256 = ?`, []byte{}, tx.Now().UnixMilli(), sha); err != nil {
		return err
	}
	return tx.Reseal(photos, `sha256 = ?`, sha)
}

// usePhotos notes that the event stands on its photos, so that EraseUnused leaves them alone.
func (e *Event) usePhotos(tx *db.Tx) error {
	for _, sha := range []string{e.PhotoSHA256, e.SignatureSHA256} {
		if sha == "" {
			continue
		}
		if _, err := tx.Exec(`UPDATE photo_look SET used = TRUE WHERE sha256 = ? AND NOT used`, sha); err != nil {
			return err
		}
	}
	return nil
}

// EraseUnused deletes at most limit photos that were uploaded before a time and that no event named since.
// Of one that had been here and was erased before, the row stays: erased evidence names it. It returns how
// many.
func EraseUnused(tx *db.Tx, before time.Time, limit int) (int, error) {
	if err := tx.Overwrite(); err != nil {
		return 0, err
	}
	var unused []struct {
		SHA256 string
		Erased bool // before it was uploaded anew
	}
	if err := tx.Select(&unused, `SELECT l.sha256, p.created_at < l.uploaded_at AS erased FROM photo_look l JOIN photo p ON p.sha256 = l.sha256
		WHERE NOT l.used AND l.uploaded_at < ? ORDER BY l.uploaded_at LIMIT ?`, before.UnixMilli(), limit); err != nil {
		return 0, err
	}
	for _, p := range unused {
		if p.Erased {
			if err := erasePhoto(tx, p.SHA256); err != nil {
				return 0, err
			}
			continue
		}
		for _, q := range []string{`DELETE FROM photo_look WHERE sha256 = ?`, `DELETE FROM photo WHERE sha256 = ?`} {
			if _, err := tx.Exec(q, p.SHA256); err != nil {
				return 0, err
			}
		}
	}
	return len(unused), nil
}

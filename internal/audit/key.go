package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"doorstep/internal/db"
)

// The key that signs bundles is the installation's own, made when it is needed first. Whoever has the
// database has it: it says where a bundle comes from, and not that nobody there could forge one.
const keySetting = "audit_key"

const publicPrefix = "ed25519:"

// PublicText is how a public key is written.
func PublicText(k ed25519.PublicKey) string {
	return publicPrefix + base64.RawURLEncoding.EncodeToString(k)
}

// ParsePublic is the inverse of PublicText.
func ParsePublic(s string) (ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(s, publicPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%q is no key: doorstep audit key prints one", s)
	}
	return raw, nil
}

// PublicKey is the key by which this installation's bundles are checked, in the form of PublicText.
func PublicKey(ctx context.Context, d *db.DB) (string, error) {
	key, err := signingKey(ctx, d)
	if err != nil {
		return "", err
	}
	return PublicText(key.Public().(ed25519.PublicKey)), nil
}

func signingKey(ctx context.Context, d *db.DB) (ed25519.PrivateKey, error) {
	const query = `SELECT value FROM setting WHERE name = ?`
	var text string
	err := d.Read(ctx).Get(&text, query, keySetting)
	if errors.Is(err, db.ErrNoRows) {
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // it never fails
		err = d.InTx(ctx, func(tx *db.Tx) error {
			// Two may be first: the row decides.
			if _, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`,
				keySetting, base64.StdEncoding.EncodeToString(seed)); err != nil {
				return err
			}
			return tx.Get(&text, query, keySetting)
		})
	}
	if err != nil {
		return nil, err
	}
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the setting %s is damaged", keySetting)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

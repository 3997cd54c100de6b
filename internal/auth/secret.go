package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
)

// A secret is ds_live_ + 32 random characters + 6 of checksum, all base62: one double-click
// selects it, scanners find it in a leak by its prefix, and a typo is refused without asking the
// database.
const (
	livePrefix = "ds_live_"
	randomLen  = 32 // 190 bits
	sumLen     = 6  // 62^6 > 2^32
	bodyLen    = len(livePrefix) + randomLen
	secretLen  = bodyLen + sumLen
	alphabet   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// digest is what is kept of a secret.
type digest [sha256.Size]byte

// newSecret makes a secret.
func newSecret() string {
	var s [secretLen]byte
	copy(s[:], livePrefix)
	for i := len(livePrefix); i < bodyLen; {
		var pool [64]byte
		_, _ = rand.Read(pool[:]) // never fails: it ends the process instead
		for _, b := range pool {
			// 62 and 63 are thrown away, so that every character is equally likely.
			if b &= 63; int(b) < len(alphabet) && i < bodyLen {
				s[i] = alphabet[b]
				i++
			}
		}
	}
	sum := checksum(s[:bodyLen])
	copy(s[bodyLen:], sum[:])
	return string(s[:])
}

// read is the digest of a secret; ok is false when it cannot be one of ours.
func read(secret string) (d digest, ok bool) {
	if len(secret) != secretLen || secret[:len(livePrefix)] != livePrefix {
		return d, false
	}
	var s [secretLen]byte
	copy(s[:], secret)
	if checksum(s[:bodyLen]) != [sumLen]byte(s[bodyLen:]) {
		return d, false
	}
	return sha256.Sum256(s[:]), true
}

// checksum is the CRC-32 (IEEE) of body in base62, most significant character first.
func checksum(body []byte) (sum [sumLen]byte) {
	// crc32.ChecksumIEEE would move body to the heap on every request.
	c := ^uint32(0)
	for _, b := range body {
		c = crc32.IEEETable[byte(c)^b] ^ c>>8
	}
	c = ^c
	for i := sumLen - 1; i >= 0; i-- {
		sum[i] = alphabet[c%uint32(len(alphabet))]
		c /= uint32(len(alphabet))
	}
	return sum
}

package web

import (
	"fmt"
	"strings"

	"github.com/skip2/go-qrcode"
)

// QR draws text as a QR code: an SVG of one path, dark on light whatever the page's colours are, since
// cameras read no other. It fails on text that is too long for one.
func QR(text string) (string, error) {
	q, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return "", fmt.Errorf("web: %w", err)
	}
	dots := q.Bitmap() // with its quiet zone
	var d strings.Builder
	for y, row := range dots {
		for x := 0; x < len(row); x++ {
			from := x
			for x < len(row) && row[x] {
				x++
			}
			if x > from {
				fmt.Fprintf(&d, "M%d %dh%dv1h-%dz", from, y, x-from, x-from)
			}
		}
	}
	n := len(dots)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" shape-rendering="crispEdges">`+
		`<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="%s"/></svg>`, n, n, 8*n, 8*n, n, n, d.String()), nil
}

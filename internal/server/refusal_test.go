package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client that sends all of a body that is too large before it reads must find the reason, and not
// a connection that was reset under it.
func TestATooLargeBodyIsAnsweredNotCutOff(t *testing.T) {
	story(t, func(w *world) {
		for path, c := range map[string]struct {
			kind string
			size int
		}{
			"/v1/orders":        {"application/json", 10 << 20},
			"/v1/photos":        {"image/jpeg", 30 << 20},
			"/v1/store-imports": {"text/csv", 70 << 20},
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				w.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, w.admin, c.kind, c.size)
			chunk := []byte(strings.Repeat("x", 1<<20))
			for sent := 0; sent < c.size && err == nil; sent += len(chunk) {
				_, err = conn.Write(chunk)
			}
			if err != nil {
				w.Errorf("%s: cut off while sending: %v", path, err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != 413 {
				w.Errorf("%s: %v %v", path, res, err)
			}
			conn.Close()
		}
	})
}

func TestWhatIsNoMoneyIsNamed(t *testing.T) {
	story(t, func(w *world) {
		campaign := func(margin any) *answer {
			return w.post(w.admin, "/v1/campaigns", m{"name": "Fair", "starts_at": "2026-12-01T08:00:00Z", "ends_at": "2026-12-02T08:00:00Z",
				"skus": []m{{"sku": "milk", "expected_units": 10, "unit_margin": margin}}})
		}
		for _, margin := range []any{"2", 2.5, true, m{"amount": "2", "currency": "KES"}, []int{2}} {
			campaign(margin).want(422).names("/skus/0/unit_margin")
		}
		campaign(250).want(201)
		campaign(m{"amount": 250, "currency": "KES"}).want(201)
	})
}

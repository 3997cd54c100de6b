package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestAKeyMadeWhileTheServerRunsWorksAtOnce(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--db", db)
	if code := call(t, "GET", p.url+"/readyz", "", "", nil); code != 200 {
		t.Errorf("ready after the line was printed: %d", code)
	}
	out := mustRun(t, "key", "create", "--role", "dispatcher", "--name", "night shift", "--db", db)
	key, ok := strings.CutSuffix(out, "\n")
	if !ok || strings.ContainsAny(key, " \n") || !strings.HasPrefix(key, "ds_live_") {
		t.Fatalf("printed %q, want only the key", out)
	}
	var me struct {
		Role  string `json:"role"`
		KeyID string `json:"key_id"`
	}
	if code := call(t, "GET", p.url+"/v1/me", key, "", &me); code != 200 || me.Role != "dispatcher" {
		t.Errorf("%d %+v", code, me)
	}
	if list := mustRun(t, "key", "list", "--db", db); !strings.Contains(list, "night shift") || strings.Contains(list, key) {
		t.Errorf("the list has the name and never the secret:\n%s", list)
	}
	mustRun(t, "key", "revoke", me.KeyID, "--db", db)
	eventually(t, "the revoked key is refused", func() bool { return call(t, "GET", p.url+"/v1/me", key, "", nil) == 401 })
	p.terminate()
	if got := p.out.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("stdout has more than the one line: %q", got)
	}
	if logs := p.errs.String(); strings.Contains(logs, key) || !strings.Contains(logs, `"msg":"serving"`) {
		t.Errorf("log: %s", logs)
	}
}

func TestAStoreKeyIsForAStoreThatExists(t *testing.T) {
	db := newPath(t, "doorstep.db")
	csv := write(t, "s.csv", "external_id,name,lat,lng\nK1,Kiosk,-1.28,36.81\n")
	mustRun(t, "import", "stores", csv, "--time-zone", "Africa/Nairobi", "--db", db)
	mustRun(t, "key", "create", "--role", "store", "--store", "ext:K1", "--expires", "90d", "--db", db)
	wantRefused(t, 1, []string{"no store ext:K2"}, "key", "create", "--role", "store", "--store", "ext:K2", "--db", db)
	wantRefused(t, 1, []string{"no store str_x"}, "key", "create", "--role", "store", "--store", "str_x", "--db", db)
	wantRefused(t, 1, []string{"role: "}, "key", "create", "--role", "owner", "--db", db)
	wantRefused(t, 1, []string{"merchant: "}, "key", "create", "--role", "merchant", "--db", db)
	wantRefused(t, 2, []string{"--role"}, "key", "create", "--db", db)
	wantRefused(t, 2, []string{"--expires", "not in the future"}, "key", "create", "--role", "admin", "--expires", "2001-01-01", "--db", db)
	wantRefused(t, 2, []string{"--expires", "90d"}, "key", "create", "--role", "admin", "--expires", "soon", "--db", db)
	wantRefused(t, 1, []string{"no key key_x"}, "key", "revoke", "key_x", "--db", db)
}

func TestSIGTERMFinishesWhatWasAcceptedAndTellsStreamsToReconnect(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--db", db)
	key := strings.TrimSpace(mustRun(t, "key", "create", "--role", "dispatcher", "--db", db))
	req, _ := http.NewRequestWithContext(t.Context(), "GET", p.url+"/v1/events/stream", nil)
	req.Header.Set("Authorization", "Bearer "+key)
	stream, err := http.DefaultClient.Do(req)
	if err != nil || stream.StatusCode != 200 {
		t.Fatal(stream, err)
	}
	defer stream.Body.Close()
	half := openStoreRequest(t, p.url, key)

	p.signal(syscall.SIGTERM)
	p.errs.await(t, "stopping")
	said := collect(stream.Body)
	said.await(t, "event: goodbye")
	if status := half.finish(); status != http.StatusCreated {
		t.Errorf("the request under way ended with %d, want 201", status)
	}
	if err := p.wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
	if doc := mustRun(t, "doctor", "--db", db, "--listen", "127.0.0.1:0"); !strings.Contains(doc, "1 stores") {
		t.Errorf("what was answered with 201 is not there:\n%s", doc)
	}
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--db", db)
	openStoreRequest(t, p.url, strings.TrimSpace(mustRun(t, "key", "create", "--role", "admin", "--db", db)))
	p.signal(syscall.SIGTERM)
	p.errs.await(t, "stopping")
	p.signal(syscall.SIGTERM)
	end, ok := p.wait().(*exec.ExitError)
	if !ok || end.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("ended with %v, want the code of an end by SIGTERM", end)
	}
}

// halfRequest is a request whose handler waits for the body.
type halfRequest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	body string
}

// openStoreRequest begins to make a store. The server's "100 Continue" proves that a handler has it.
func openStoreRequest(t *testing.T, url, key string) *halfRequest {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h := &halfRequest{t, conn, bufio.NewReader(conn), storeBody("late")}
	fmt.Fprintf(conn, "POST /v1/stores HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		host, key, len(h.body))
	if line, err := h.in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = h.in.ReadString('\n')
	return h
}

func (h *halfRequest) finish() int {
	h.t.Helper()
	fmt.Fprint(h.conn, h.body)
	res, err := http.ReadResponse(h.in, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestWhatStandsInTheWayIsSaidInOneLine(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	db := newPath(t, "doorstep.db")
	wantRefused(t, 1, []string{"port " + port + " is in use: try --listen 127.0.0.1:"}, "serve", "--db", db, "--listen", "127.0.0.1:"+port)
	wantRefused(t, 1, []string{"port " + port + " is in use: try --metrics-listen"}, "serve", "--db", db, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:"+port)
	wantRefused(t, 1, []string{"192.0.2.1 is no address of this machine"}, "serve", "--db", db, "--listen", "192.0.2.1:0")
	wantRefused(t, 1, []string{"the folder missing does not exist: mkdir -p missing"}, "serve", "--db", "missing/x.db", "--listen", "127.0.0.1:0")
	wantRefused(t, 1, []string{"there is no database at typo.db"}, "key", "list", "--db", "typo.db")
	wantRefused(t, 1, []string{"there is no job ofers: did you mean offers?"}, "job", "run", "ofers", "--db", db)
	wantRefused(t, 1, []string{"no such file"}, "import", "stores", "nothing.csv", "--db", db)
	if err := os.WriteFile("letter.txt", []byte(strings.Repeat("Dear customer, ", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, 1, []string{"letter.txt", "not a database"}, "serve", "--db", "letter.txt", "--listen", "127.0.0.1:0")
	spoil(t, db, `UPDATE goose_db_version SET version_id = version_id + 1000 WHERE id = (SELECT max(id) FROM goose_db_version)`)
	wantRefused(t, 1, []string{"use the newer program"}, "serve", "--db", db, "--listen", "127.0.0.1:0")
	mustRun(t, "key", "create", "--role", "admin") // the default's folder is made
	if _, err := os.Stat(defaultDB); err != nil {
		t.Error(err)
	}
}

func TestMetricsHaveAnAddressOfTheirOwn(t *testing.T) {
	p := serveProcess(t, "--db", newPath(t, "doorstep.db"), "--metrics-listen", "127.0.0.1:0")
	url := p.errs.await(t, `"url":"(http://[^"]+/metrics)"`)[1]
	if code := call(t, "GET", url, "", "", nil); code != 200 {
		t.Errorf("metrics: %d", code)
	}
	if code := call(t, "GET", p.url+"/metrics", "", "", nil); code != 404 {
		t.Errorf("metrics at the public address: %d, want 404", code)
	}
	p.terminate()
}

func TestJobsRunFromTheCommandLine(t *testing.T) {
	db := newPath(t, "doorstep.db")
	mustRun(t, "key", "create", "--role", "admin", "--db", db)
	for _, name := range []string{"offers", "retry-unassignable", "purge", "archive", "prestock-prompts", "prestock-release"} {
		mustRun(t, "job", "run", name, "--db", db)
	}
	if list := mustRun(t, "job", "list", "--db", db); strings.Count(list, " done ") != 6 {
		t.Errorf("six jobs ran:\n%s", list)
	}
}

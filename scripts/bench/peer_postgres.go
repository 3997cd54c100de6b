package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"doorstep/geo"
)

// postgresPeer is PostgreSQL with PostGIS.
type postgresPeer struct {
	postgis
	settings string
	w        *world
	bin      string
	dir      string
	as       *syscall.Credential
	server   *server
	conn     *pgx.Conn
}

// postgis is one of the two ways to keep places in it.
type postgis struct {
	column string // made from lng, lat, x, y
	near   string // the statement, with the question in $1 to $5 and where in the rest
	where  func(*ask) []float64
}

// Nothing here outlives the run, so nothing need reach the disk. All data fit the shared buffers. The planner
// is as it comes: what people have who ask as the manual says.
const postgresConf = `
listen_addresses = ''
unix_socket_directories = '%s'
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
shared_buffers = 512MB
maintenance_work_mem = 512MB
autovacuum = off
`

// Guided, the planner does what somebody would teach it who has measured: statements are planned once, and
// follow the index by distance. By itself it does not know how near the first store that fits lies, and may
// fetch and rank all of the radius.
const guidance = `
max_parallel_workers_per_gather = 0
plan_cache_mode = force_generic_plan
enable_sort = off
enable_bitmapscan = off
enable_seqscan = off
jit = off
`

// startPostGIS starts one that keeps places in one of the two ways, with more lines of settings.
func startPostGIS(kind postgis, settings string) func(*bench, string, *world) (peer, error) {
	return func(b *bench, dir string, w *world) (peer, error) { return startPostgres(b, dir, w, kind, settings) }
}

func startPostgres(b *bench, dir string, w *world, kind postgis, settings string) (_ peer, err error) {
	p := &postgresPeer{postgis: kind, w: w, dir: dir, settings: settings}
	if p.bin, err = b.have(findPostgres, "postgresql-15", "postgresql-15-postgis-3"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := p.create(); err != nil {
		return p, err
	}
	p.server, err = startServer(filepath.Join(dir, "postgres.log"), p.as, p.bin+"/postgres", "-D", p.data())
	if err != nil {
		return p, err
	}
	err = p.server.ready(30*time.Second, func() (err error) {
		p.conn, err = pgx.Connect(context.Background(), "host="+p.data()+" user=postgres dbname=postgres")
		return err
	})
	if err != nil {
		return p, err
	}
	return p, p.load(b.ctx)
}

func (p *postgresPeer) data() string { return filepath.Join(p.dir, "data") }

// create makes the data directory, which also holds the socket: nobody else can enter it.
func (p *postgresPeer) create() error {
	if err := errors.Join(os.Mkdir(p.data(), 0o700), os.Chmod(p.dir, 0o711)); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // as which the server refuses to run
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, badUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, badGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(badUID, badGID, os.Chown(p.data(), int(uid), int(gid))); err != nil {
			return err
		}
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	initdb := exec.Command(p.bin+"/initdb", "-D", p.data(), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true, Credential: p.as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLines(out))
	}
	conf, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, postgresConf+p.settings, p.data())
	return errors.Join(err, conf.Close())
}

// The stores lie in the order of space, as after CLUSTER: neighbours share pages.
const postgresTables = `
CREATE UNLOGGED TABLE shops AS
	SELECT key, %s AS at, ready, s0, s1, s2, s3 FROM raw ORDER BY ST_MakePoint(x, y);
CREATE INDEX ON shops USING gist (at);
DROP TABLE raw`

func (p *postgresPeer) load(ctx context.Context) error {
	_, err := p.conn.Exec(ctx, `CREATE EXTENSION postgis;
		CREATE UNLOGGED TABLE raw (key int, lng float8, lat float8, x float8, y float8, ready int, s0 int8, s1 int8, s2 int8, s3 int8)`)
	if err != nil {
		return err
	}
	rows := pgx.CopyFromSlice(len(p.w.shops), func(i int) ([]any, error) {
		s := &p.w.shops[i]
		x, y := mercator(s.at)
		return []any{int32(i), s.at.Lng, s.at.Lat, x, y, int32(s.ready),
			int64(s.skus[0]), int64(s.skus[1]), int64(s.skus[2]), int64(s.skus[3])}, nil
	})
	columns := []string{"key", "lng", "lat", "x", "y", "ready", "s0", "s1", "s2", "s3"}
	if _, err := p.conn.CopyFrom(ctx, pgx.Identifier{"raw"}, columns, rows); err != nil {
		return err
	}
	if _, err := p.conn.Exec(ctx, fmt.Sprintf(postgresTables, p.column)); err != nil {
		return err
	}
	_, err = p.conn.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// servers are the processes to count: the server and all that it has started.
func (p *postgresPeer) servers() ([]int, error) {
	pids, err := childrenOf(p.server.pid())
	return append(pids, p.server.pid()), err
}

func (p *postgresPeer) close() error {
	var err error
	if p.conn != nil {
		err = p.conn.Close(context.Background())
	}
	// SIGINT: a fast shutdown, which does not wait for clients.
	return errors.Join(err, p.server.stop(syscall.SIGINT))
}

const mercatorRadiusM = 6_378_137 // by definition of EPSG:3857

// mercator is a point in EPSG:3857. Around one point it stretches all directions alike, so that it ranks as
// the sphere does: up to 3 km from it, to half a metre up to 45 degrees of latitude. In plain degrees the
// nearest would be another store.
func mercator(p geo.Point) (x, y float64) {
	return mercatorRadiusM * p.Lng * radian, mercatorRadiusM * math.Atanh(math.Sin(p.Lat*radian))
}

// stretch is how much longer a metre is on that map.
func stretch(lat float64) float64 { return mercatorRadiusM / geo.EarthRadiusM / math.Cos(lat*radian) }

const fits = "ready & $1 <> 0 AND s0 & $2 = $2 AND s1 & $3 = $3 AND s2 & $4 = $4 AND s3 & $5 = $5"

// Both ask as the manual of PostGIS says, ORDER BY <-> on a GiST index, and within the radius, so that a
// search without a result ends: the planar one in a box, which its index knows, the other in the circle.
// Distances of geography by <-> are those on a sphere, as ours.
var (
	geometry = postgis{
		column: "ST_SetSRID(ST_MakePoint(x, y), 3857)::geometry(Point, 3857)",
		near: "SELECT key FROM shops WHERE at && ST_MakeEnvelope($6, $7, $8, $9, 3857) AND " + fits + `
			ORDER BY at <-> ST_SetSRID(ST_MakePoint($10, $11), 3857) LIMIT 1`,
		where: func(a *ask) []float64 {
			x, y := mercator(a.at)
			reach := a.radiusM * stretch(math.Abs(a.at.Lat)+a.radiusM/geo.EarthRadiusM/radian)
			return []float64{x - reach, y - reach, x + reach, y + reach, x, y}
		},
	}
	geography = postgis{
		column: "ST_SetSRID(ST_MakePoint(lng, lat), 4326)::geography(Point, 4326)",
		near: "SELECT key FROM shops WHERE ST_DWithin(at, ST_SetSRID(ST_MakePoint($6, $7), 4326)::geography, $8, false) AND " + fits + `
			ORDER BY at <-> ST_SetSRID(ST_MakePoint($6, $7), 4326)::geography LIMIT 1`,
		where: func(a *ask) []float64 { return []float64{a.at.Lng, a.at.Lat, a.radiusM} },
	}
)

// nearest runs the statement, which pgx prepares when it meets it first. The context of a request would cost
// more: the run can wait for one answer.
func (p *postgresPeer) nearest(a *ask) (answer, error) {
	args := make([]any, 0, 16)
	args = append(args, int32(1)<<a.moment, int64(a.skus[0]), int64(a.skus[1]), int64(a.skus[2]), int64(a.skus[3]))
	for _, x := range p.where(a) {
		args = append(args, x)
	}
	var key int32
	err := p.conn.QueryRow(context.Background(), p.near, args...).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return nobody, nil
	}
	if err != nil {
		return nobody, err
	}
	found := p.w.answer(a, int(key))
	if found.m > a.radiusM {
		return nobody, nil // in a corner of the box
	}
	return found, nil
}

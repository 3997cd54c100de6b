package server

import "time"

// ShortenWrites lowers, until the returned function is called, how long a client may take to read.
func ShortenWrites(d time.Duration) (restore func()) {
	old := writeTimeout
	writeTimeout = d
	return func() { writeTimeout = old }
}

// ShortenSeconds lowers, until the returned function is called, how often streams are looked after.
func ShortenSeconds(d time.Duration) (restore func()) {
	old := second
	second = d
	return func() { second = old }
}

// MaxHeld is how many bytes of large bodies are held at once.
const MaxHeld = maxHeld

// Hold takes room for n bytes of bodies, as an upload under way does.
func (s *Server) Hold(n int64) (release func(), err error) {
	return func() { s.bodies.give(n) }, s.bodies.take(n)
}

// RouteInfo is what the contract says about a route, as the table has it.
type RouteInfo struct {
	Method, Path string
	Roles        []string
}

// Routes is the table of routes.
func Routes() []RouteInfo {
	out := make([]RouteInfo, len(routes))
	for i, r := range routes {
		out[i] = RouteInfo{Method: r.method, Path: r.path}
		for _, role := range r.roles {
			out[i].Roles = append(out[i].Roles, string(role))
		}
	}
	return out
}

// PlacesFor is how many streams there may be in a process of that many files.
func PlacesFor(asked int, files uint64) int { return placesFor(asked, files) }

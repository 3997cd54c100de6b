package server

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

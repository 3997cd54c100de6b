// Package api holds the HTTP contract, written by hand before the server: what the server does is right when it fits
// openapi.yaml, and not the other way round.
package api

import _ "embed"

// OpenAPI is the contract, OpenAPI 3.0.3 in YAML (UTF-8), as served at /openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

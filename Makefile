# Needed: make, Go and a C compiler; Node for the store app. What each target does is in scripts/, so that CI and people run the same.

LISTEN   ?= 127.0.0.1:8080
DATA     ?= data
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build run test sizes replay bench bench-forecast fuzz fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: ## build bin/doorstep
	@scripts/need
	@scripts/faces build
	@test -x bin/doorstep || echo "building; the first time takes a few minutes (SQLite and H3 are C)"
	go build -o bin/doorstep ./cmd/doorstep

run: build ## serve a living demo city at http://127.0.0.1:8080 (LISTEN=host:port, DATA=folder)
	@mkdir -p "$(DATA)"
	bin/doorstep serve --demo --db "$(DATA)/doorstep.db" --listen "$(LISTEN)"

test: ## everything CI checks, on SQLite and PostgreSQL
	@scripts/test

sizes: ## bytes of a first visit to each face, against the budgets
	@scripts/faces sizes

replay: build ## replay recorded orders against a server (scripts/replay)
	@go run ./scripts/replay -serve

bench: ## measure against the goals and the peers; some minutes (BENCH=-quick: a smoke run; see scripts/bench)
	@scripts/need
	@test -x bin/bench || echo "building; the first time takes a few minutes (SQLite and H3 are C)"
	@go build -buildvcs=false -o bin/bench ./scripts/bench
	@bin/bench $(BENCH)

bench-forecast: ## score forecasts and quantities on ../shared/data; two minutes (BENCH="-only fresh": a part)
	@go run ./scripts/bench-forecast $(BENCH)

bench-doorstep: ## grades and flags of recorded rides, fences at recorded pick-ups; a minute (BENCH="-only fence": a part)
	@go run ./scripts/bench-doorstep $(BENCH)

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@FUZZTIME="$(FUZZTIME)" scripts/fuzz

fmt: ## format the Go files
	@scripts/fmt

clean: ## remove bin and the built faces (the demo city in DATA stays)
	rm -rf bin internal/web/ui/node_modules
	find internal/web/dist -mindepth 1 ! -name .gitkeep -delete

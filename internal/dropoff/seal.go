package dropoff

import "doorstep/internal/db"

// What package audit checks. Columns that come later stand at the end of their list.
var (
	attempts = db.NewSealed("attempt", "key, order_key, n, state, reason, grade, started_at, ended_at, leg, flags, picked_up_at")
	scans    = db.NewSealed("scan", scanColumns)
	// The picture itself is known by its hash.
	photos = db.NewSealed("photo", "sha256, width, height, bytes, owner, created_at, erased_at")
	// What is personal in an event may be erased and leaves a digest; that it happened stays.
	evidence = db.NewEvidence("dropoff_event", "key, "+eventColumns, "lat", "lng", "accuracy_m", "note", "name")
)

const scanColumns = "key, store_key, client_id, order_key, direction, target, to_store, moved, actor, occurred_at, recorded_at"

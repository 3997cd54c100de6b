-- What customers say needs somebody who sees to it: one open incident an order and kind, with the place in
-- the order's story up to which it had happened when it was opened.

CREATE TABLE incident (
    key          BIGKEY,
    order_key    BIGINT NOT NULL,
    merchant_key BIGINT NOT NULL,
    store_key    BIGINT NOT NULL, -- that had the order then, 0: none
    kind         TEXT   NOT NULL, -- dispute, message
    status       TEXT   NOT NULL, -- open; upheld, rejected, withdrawn; answered
    reason       TEXT   NOT NULL, -- of a dispute
    opened_at    BIGINT NOT NULL,
    opened_by    TEXT   NOT NULL,
    order_event  BIGINT NOT NULL, -- the order's newest event then
    order_count  BIGINT NOT NULL, -- and how many it had
    order_then   TEXT   NOT NULL, -- JSON: how the order stood; names no person
    note         TEXT   NOT NULL, -- of who resolved it, for colleagues
    answer       TEXT   NOT NULL, -- to the customer
    resolved_at  BIGINT,
    resolved_by  TEXT   NOT NULL,
    last_event   BIGINT NOT NULL,
    event_count  BIGINT NOT NULL,
    version      BIGINT NOT NULL
);
CREATE UNIQUE INDEX incident_open ON incident (order_key, kind) WHERE status = 'open';
CREATE INDEX incident_queue ON incident (key) WHERE status = 'open';
CREATE INDEX incident_order ON incident (order_key, key);

-- A rating says something of the delivery (stars) and of the store.
ALTER TABLE remark ADD COLUMN store_stars BIGINT NOT NULL DEFAULT 0; -- 0: no rating

-- The newest rating of each order, summed by store: what a store is asked for its mean is one row.
CREATE TABLE store_rating (
    store_key      BIGINT NOT NULL PRIMARY KEY,
    store_count    BIGINT NOT NULL,
    store_sum      BIGINT NOT NULL,
    delivery_count BIGINT NOT NULL,
    delivery_sum   BIGINT NOT NULL
);

-- Orders and which store they were offered to. These rows are hot: keys in time order, few and
-- narrow indexes, and partial ones that a finished order leaves.

CREATE TABLE orders (
    key                  BIGKEY,
    merchant_key         BIGINT  NOT NULL,
    external_id          TEXT,
    request_hash         TEXT    NOT NULL,
    status               TEXT    NOT NULL,
    status_reason        TEXT    NOT NULL,
    cancelled_by         TEXT    NOT NULL,
    lat                  DOUBLE PRECISION NOT NULL,
    lng                  DOUBLE PRECISION NOT NULL,
    cell                 BIGINT  NOT NULL,
    mode                 TEXT    NOT NULL,
    undeliverable_action TEXT    NOT NULL,
    minimum_grade        TEXT    NOT NULL,
    recipient            TEXT    NOT NULL, -- JSON: name, phone, locale
    details              TEXT    NOT NULL, -- JSON: items, parcels, address, instructions, tags
    radius_m             BIGINT  NOT NULL, -- the merchant's own limit, 0: none
    window_from          BIGINT,
    window_to            BIGINT,
    promise_from         BIGINT,
    promise_to           BIGINT,
    store_key            BIGINT  NOT NULL, -- 0: none
    assignment_key       BIGINT  NOT NULL,
    distance_m           BIGINT  NOT NULL,
    reroutes             BIGINT  NOT NULL,
    attempts             BIGINT  NOT NULL,
    grade                TEXT    NOT NULL,
    link_version         BIGINT  NOT NULL,
    code_tries           BIGINT  NOT NULL,
    last_event           BIGINT  NOT NULL,
    event_count          BIGINT  NOT NULL,
    version              BIGINT  NOT NULL,
    created_at           BIGINT  NOT NULL,
    updated_at           BIGINT  NOT NULL,
    ended_at             BIGINT
);
CREATE UNIQUE INDEX orders_external ON orders (external_id, merchant_key) WHERE external_id IS NOT NULL;
CREATE INDEX orders_merchant ON orders (merchant_key, key);
CREATE INDEX orders_store_open ON orders (store_key, key) WHERE ended_at IS NULL;
CREATE INDEX orders_unassignable ON orders (key) WHERE status = 'unassignable';

CREATE TABLE assignment (
    key         BIGKEY,
    order_key   BIGINT NOT NULL,
    store_key   BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    rank        BIGINT NOT NULL, -- 1 for the order's first store, 2 for its second …
    score       BIGINT NOT NULL, -- what the choice minimised, metres
    slot        BIGINT NOT NULL, -- the slot whose unit it holds
    deadline    BIGINT,          -- of an offer
    offered_at  BIGINT NOT NULL,
    answered_at BIGINT
);
-- At most one store at a time has an order.
CREATE UNIQUE INDEX assignment_live ON assignment (order_key) WHERE status IN ('offered', 'accepted');
CREATE INDEX assignment_order ON assignment (order_key, key);
CREATE INDEX assignment_store_live ON assignment (store_key, key) WHERE status IN ('offered', 'accepted');
CREATE INDEX assignment_due ON assignment (deadline) WHERE status = 'offered';

-- What customers said. The log only knows that they did: it is for ever, and texts are personal.
CREATE TABLE remark (
    key        BIGKEY,
    order_key  BIGINT NOT NULL,
    kind       TEXT   NOT NULL, -- rated, disputed, message_received
    stars      BIGINT NOT NULL, -- 0: no rating
    reason     TEXT   NOT NULL,
    text       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX remark_order ON remark (order_key, key);

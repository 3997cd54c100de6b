-- Attempts at the door and their evidence. Attempts are children of the order: they never freeze
-- or copy it.

CREATE TABLE attempt (
    key        BIGKEY,
    order_key  BIGINT NOT NULL,
    n          BIGINT NOT NULL, -- 1, 2, 3 …
    state      TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    grade      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    UNIQUE (order_key, n)
);

CREATE TABLE dropoff_event (
    key         BIGKEY,
    order_key   BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    client_id   TEXT   NOT NULL, -- made by the phone: the same event sent twice is one event
    type        TEXT   NOT NULL,
    occurred_at BIGINT NOT NULL, -- the phone's clock
    recorded_at BIGINT NOT NULL, -- ours
    lat         DOUBLE PRECISION,
    lng         DOUBLE PRECISION,
    accuracy_m  DOUBLE PRECISION,
    photo       TEXT   NOT NULL,
    signal      TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    distance_m  DOUBLE PRECISION,
    confirmed   BOOLEAN NOT NULL, -- by the customer: a right PIN, or the tap on the tracking page
    reason      TEXT   NOT NULL,
    note        TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    UNIQUE (order_key, client_id)
);

-- A photo lies in the database and not beside it: it commits with its event and is in the backup.
CREATE TABLE photo (
    sha256     TEXT PRIMARY KEY,
    width      BIGINT NOT NULL,
    height     BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    data       BYTES  NOT NULL,
    owner      BIGINT NOT NULL, -- the key that uploaded it first
    created_at BIGINT NOT NULL
);

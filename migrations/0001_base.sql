-- What every part stands on: settings, the log, who may ask, scheduled work.
-- Times are milliseconds UTC, keys come from Go (internal/ident), JSON is TEXT.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- The log of what happened. Keyed by time, so appending touches the last page only; prev walks a
-- subject's story back without an index.
CREATE TABLE event (
    seq         BIGKEY,
    prev        BIGINT NOT NULL, -- seq of the subject's event before this one, 0 at its first
    sequence    BIGINT NOT NULL, -- 1, 2, 3 … within the subject
    type        TEXT   NOT NULL,
    subject     BIGINT NOT NULL,
    merchant    BIGINT NOT NULL, -- 0: no merchant's business
    store       BIGINT NOT NULL, -- 0: no store's business
    actor       TEXT   NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    data        TEXT   NOT NULL
);

CREATE TABLE merchant (
    key         BIGKEY,
    name        TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL
);

CREATE TABLE api_key (
    key          BIGKEY,
    hash         TEXT   NOT NULL UNIQUE, -- SHA-256 of the secret: it has 190 random bits, so no salt
    hint         TEXT   NOT NULL,        -- the last characters, to tell keys apart in a list
    name         TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    store_key    BIGINT NOT NULL,
    merchant_key BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_event   BIGINT NOT NULL,
    event_count  BIGINT NOT NULL
);

-- The stored answers of requests that carried an Idempotency-Key; purged from the old end.
CREATE TABLE idempotency (
    key          BIGKEY,
    owner        BIGINT NOT NULL,
    name         TEXT   NOT NULL,
    request_hash TEXT   NOT NULL,
    status       BIGINT NOT NULL,
    header       TEXT   NOT NULL, -- JSON: the headers that belong to the answer
    body         BYTES  NOT NULL,
    UNIQUE (owner, name)
);

CREATE TABLE lease (
    name     TEXT PRIMARY KEY,
    holder   TEXT   NOT NULL,
    fence    BIGINT NOT NULL, -- counted up with each new holder: an old one can be told apart
    until_ms BIGINT NOT NULL
);

CREATE TABLE job_slot (
    job         TEXT   NOT NULL,
    slot        BIGINT NOT NULL,
    state       TEXT   NOT NULL, -- due, running, done, failed, skipped
    fence       BIGINT NOT NULL,
    tries       BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    note        TEXT   NOT NULL,
    PRIMARY KEY (job, slot)
);

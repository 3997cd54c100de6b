-- Campaigns, what stores were asked to have ready for them, and past demand.

CREATE TABLE campaign (
    key         BIGKEY,
    name        TEXT   NOT NULL,
    status      TEXT   NOT NULL, -- draft, planned, approved, cancelled, finished
    starts_at   BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    cells       TEXT   NOT NULL, -- JSON array of cells; empty: everywhere
    leads       TEXT   NOT NULL, -- JSON array of seconds before the start
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    approved_at BIGINT
);

CREATE TABLE campaign_sku (
    campaign_key      BIGINT NOT NULL,
    sku               TEXT   NOT NULL,
    expected_units    BIGINT,
    uplift            DOUBLE PRECISION,
    unit_margin       DOUBLE PRECISION NOT NULL,
    unit_holding_cost DOUBLE PRECISION NOT NULL,
    case_pack         BIGINT NOT NULL,
    PRIMARY KEY (campaign_key, sku)
);

-- asked = committed + reallocated + unallocated at every moment; the last is what remains, so it
-- is not kept.
CREATE TABLE prestock_task (
    key            BIGKEY,
    campaign_key   BIGINT NOT NULL,
    store_key      BIGINT NOT NULL,
    sku            TEXT   NOT NULL,
    parent_key     BIGINT NOT NULL, -- the task whose shortfall this one takes, 0: from the plan
    asked          BIGINT NOT NULL CHECK (asked > 0),
    committed      BIGINT NOT NULL CHECK (committed >= 0),
    reallocated    BIGINT NOT NULL CHECK (reallocated >= 0),
    counted        BIGINT,
    status         TEXT   NOT NULL,
    reason         TEXT   NOT NULL, -- why the store said no
    reason_text    TEXT   NOT NULL, -- why it was asked
    ack_deadline   BIGINT NOT NULL,
    stock_deadline BIGINT NOT NULL,
    hold_until     BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (campaign_key, store_key, sku, parent_key),
    CHECK (committed + reallocated <= asked)
);
CREATE INDEX prestock_store ON prestock_task (store_key, key);
CREATE INDEX prestock_due ON prestock_task (ack_deadline) WHERE status IN ('prompted', 'planned');

-- One row a prompt: the key is what keeps a prompt from being sent twice.
CREATE TABLE prestock_prompt (
    task_key BIGINT NOT NULL,
    lead_s   BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    channel  TEXT   NOT NULL,
    PRIMARY KEY (task_key, lead_s)
);

-- Past demand by day and place (a store, or a cell where the store is not known).
CREATE TABLE demand (
    day            BIGINT NOT NULL, -- days since 1970-01-01
    place          TEXT   NOT NULL, -- str:<key> or the cell
    sku            TEXT   NOT NULL,
    units          DOUBLE PRECISION NOT NULL,
    stockout_hours DOUBLE PRECISION NOT NULL,
    discount       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sku, place, day)
);

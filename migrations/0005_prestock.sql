-- Campaigns, what stores were asked to have ready for them, and past demand.

CREATE TABLE campaign (
    key         BIGKEY,
    name        TEXT   NOT NULL,
    status      TEXT   NOT NULL, -- draft, planned, approved, finished, cancelled
    starts_at   BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    cells       TEXT   NOT NULL, -- JSON array of cells; empty: everywhere
    leads       TEXT   NOT NULL, -- JSON array of seconds before the start, the longest first
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    approved_at BIGINT
);
CREATE INDEX campaign_approved ON campaign (key) WHERE status = 'approved';

-- Money is in minor units of currency; both amounts are in the same one.
CREATE TABLE campaign_sku (
    campaign_key        BIGINT NOT NULL,
    position            BIGINT NOT NULL, -- as given: SKUs take room on a shelf in this order
    sku                 TEXT   NOT NULL,
    expected_units      BIGINT,
    uplift              DOUBLE PRECISION,
    margin_amount       BIGINT,
    holding_cost_amount BIGINT,
    currency            TEXT   NOT NULL, -- '' without amounts
    case_pack           BIGINT NOT NULL CHECK (case_pack > 0),
    PRIMARY KEY (campaign_key, sku)
);

-- asked = committed + reallocated + unallocated at every moment; the last is what remains, so it
-- is not kept.
CREATE TABLE prestock_task (
    key            BIGKEY,
    campaign_key   BIGINT NOT NULL,
    store_key      BIGINT NOT NULL,
    cell           BIGINT NOT NULL, -- the store's, resolution 7
    sku            TEXT   NOT NULL,
    parent_key     BIGINT NOT NULL, -- the task whose shortfall this one takes, 0: from the plan
    asked          BIGINT NOT NULL CHECK (asked > 0),
    committed      BIGINT NOT NULL CHECK (committed >= 0),
    reallocated    BIGINT NOT NULL CHECK (reallocated >= 0),
    counted        BIGINT,
    status         TEXT   NOT NULL,
    reason         TEXT   NOT NULL, -- why the store said no
    reason_text    TEXT   NOT NULL, -- why it was asked
    lead_s         BIGINT NOT NULL, -- the last lead it was prompted for; above every lead before the first
    ack_deadline   BIGINT NOT NULL,
    stock_deadline BIGINT NOT NULL,
    hold_until     BIGINT NOT NULL,
    last_event     BIGINT NOT NULL,
    event_count    BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (campaign_key, sku, store_key, parent_key),
    CHECK (committed + reallocated <= asked)
);
CREATE INDEX prestock_store ON prestock_task (store_key, key);
CREATE INDEX prestock_campaign ON prestock_task (campaign_key, key);
-- What the jobs look for, each as a walk over what is due only.
CREATE INDEX prestock_to_prompt ON prestock_task (campaign_key, lead_s)
    WHERE status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged');
CREATE INDEX prestock_to_answer ON prestock_task (ack_deadline) WHERE status = 'prompted';
CREATE INDEX prestock_to_stock ON prestock_task (stock_deadline) WHERE status IN ('acknowledged', 'partially_acknowledged');
CREATE INDEX prestock_to_release ON prestock_task (hold_until)
    WHERE status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged', 'stocked', 'shortfall');

-- One row a prompt: its key is what keeps a prompt from being sent twice.
CREATE TABLE prestock_prompt (
    task_key BIGINT  NOT NULL,
    lead_s   BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    channel  TEXT    NOT NULL,
    sent     BOOLEAN NOT NULL, -- FALSE: passed over, because a later lead was due as well
    PRIMARY KEY (task_key, lead_s)
);

-- The room that open tasks keep on a store's shelf: claimed by one conditional statement, so that
-- no two plans or reallocations promise the same room.
CREATE TABLE prestock_room (
    store_key BIGINT NOT NULL PRIMARY KEY,
    units     BIGINT NOT NULL CHECK (units >= 0)
);

-- Past demand by day and place: a store, or a cell where the store is not known; the other is 0.
CREATE TABLE demand (
    sku            TEXT   NOT NULL,
    store_key      BIGINT NOT NULL,
    cell           BIGINT NOT NULL,
    day            BIGINT NOT NULL, -- days since 1970-01-01
    units          DOUBLE PRECISION NOT NULL CHECK (units >= 0),
    stockout_hours DOUBLE PRECISION NOT NULL,
    discount       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sku, store_key, cell, day)
);

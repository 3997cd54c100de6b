-- Plans of a whole country: their runs are visible, and millions of tasks are written in order.

-- What a campaign is for: a peak, or the replenishment of one night (days since 1970-01-01).
ALTER TABLE campaign ADD COLUMN kind TEXT NOT NULL DEFAULT 'peak';
ALTER TABLE campaign ADD COLUMN night BIGINT;
CREATE UNIQUE INDEX campaign_night ON campaign (night) WHERE night IS NOT NULL;

-- The last run of a campaign's plan.
CREATE TABLE campaign_plan (
    campaign_key BIGKEY,
    state        TEXT    NOT NULL, -- queued, running, interrupted, done, failed
    step         TEXT    NOT NULL, -- what a running one does
    background   BOOLEAN NOT NULL, -- a job goes on with it
    tries        BIGINT  NOT NULL, -- how often it was begun since it was asked for
    done_stores  BIGINT  NOT NULL, -- whose tasks are written
    total_stores BIGINT  NOT NULL,
    started_at   BIGINT  NOT NULL, -- or queued
    updated_at   BIGINT  NOT NULL,
    finished_at  BIGINT,
    problem      TEXT    NOT NULL, -- why it failed
    result       TEXT    NOT NULL  -- JSON; '' before it is done
);
CREATE INDEX campaign_plan_open ON campaign_plan (campaign_key) WHERE state IN ('queued', 'running', 'interrupted');

-- Stores that do not want to be asked.
CREATE TABLE prestock_opt_out (
    store_key BIGKEY
);

-- A plan writes its tasks store by store, neighbours together. What keeps a task from being there twice
-- begins with the store now: all tasks of a store go to one place of the index, not each to another.
-- That index also lists the tasks of a store. What is behind the number of units (uplift, cell_units,
-- near_units: see Terms) is kept apart from the words: reason_text is '' where they say it all.
CREATE TABLE prestock_task_by_store (
    key            BIGKEY,
    campaign_key   BIGINT NOT NULL,
    store_key      BIGINT NOT NULL,
    cell           BIGINT NOT NULL, -- the store's, resolution 7
    sku            TEXT   NOT NULL,
    parent_key     BIGINT NOT NULL DEFAULT 0, -- the task whose shortfall this one takes, 0: from the plan
    asked          BIGINT NOT NULL CHECK (asked > 0),
    committed      BIGINT NOT NULL DEFAULT 0 CHECK (committed >= 0),
    reallocated    BIGINT NOT NULL DEFAULT 0 CHECK (reallocated >= 0),
    counted        BIGINT,
    status         TEXT   NOT NULL,
    reason         TEXT   NOT NULL DEFAULT '', -- why the store said no
    reason_text    TEXT   NOT NULL DEFAULT '', -- why it was asked
    lead_s         BIGINT NOT NULL, -- the last lead it was prompted for; above every lead before the first
    ack_deadline   BIGINT NOT NULL,
    stock_deadline BIGINT NOT NULL,
    hold_until     BIGINT NOT NULL,
    last_event     BIGINT NOT NULL DEFAULT 0,
    event_count    BIGINT NOT NULL DEFAULT 0,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    leftover       BIGINT,
    prompted_at    BIGINT NOT NULL DEFAULT 0, -- when the store first heard of it; 0: not yet
    next_at        BIGINT NOT NULL DEFAULT 0, -- when it is to be looked at; 0: at the first lead
    uplift         DOUBLE PRECISION NOT NULL DEFAULT 0,
    cell_units     BIGINT NOT NULL DEFAULT 0,
    near_units     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (store_key, campaign_key, sku, parent_key),
    CHECK (committed + reallocated <= asked)
);
INSERT INTO prestock_task_by_store (key, campaign_key, store_key, cell, sku, parent_key, asked, committed, reallocated, counted, status,
        reason, reason_text, lead_s, ack_deadline, stock_deadline, hold_until, last_event, event_count, version, created_at, updated_at,
        leftover, prompted_at, next_at)
    SELECT key, campaign_key, store_key, cell, sku, parent_key, asked, committed, reallocated, counted, status,
        reason, reason_text, lead_s, ack_deadline, stock_deadline, hold_until, last_event, event_count, version, created_at, updated_at,
        leftover, prompted_at, next_at FROM prestock_task;
DROP TABLE prestock_task;
ALTER TABLE prestock_task_by_store RENAME TO prestock_task;
CREATE INDEX prestock_campaign ON prestock_task (campaign_key, key);
CREATE INDEX prestock_to_prompt ON prestock_task (campaign_key, next_at)
    WHERE status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged');
CREATE INDEX prestock_to_answer ON prestock_task (ack_deadline) WHERE status = 'prompted';
CREATE INDEX prestock_to_stock ON prestock_task (stock_deadline) WHERE status IN ('acknowledged', 'partially_acknowledged');
CREATE INDEX prestock_to_release ON prestock_task (hold_until)
    WHERE status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged', 'stocked', 'shortfall');

CREATE TABLE prestock_room_by_store (
    store_key BIGKEY,
    units     BIGINT NOT NULL CHECK (units >= 0)
);
INSERT INTO prestock_room_by_store (store_key, units) SELECT store_key, units FROM prestock_room;
DROP TABLE prestock_room;
ALTER TABLE prestock_room_by_store RENAME TO prestock_room;

-- Stores, what lies on their shelves, and how full their slots are.

CREATE TABLE store (
    key              BIGKEY,
    external_id      TEXT,
    name             TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    lat              DOUBLE PRECISION NOT NULL,
    lng              DOUBLE PRECISION NOT NULL,
    cell             BIGINT  NOT NULL, -- H3 resolution 9
    address          TEXT    NOT NULL, -- JSON
    phone            TEXT    NOT NULL,
    locale           TEXT    NOT NULL,
    time_zone        TEXT    NOT NULL,
    opening_hours    TEXT    NOT NULL,
    service_radius_m BIGINT  NOT NULL,
    slot_minutes     BIGINT  NOT NULL,
    orders_per_slot  BIGINT  NOT NULL,
    shelf_units      BIGINT  NOT NULL,
    auto_accept      BOOLEAN NOT NULL,
    offer_timeout_s  BIGINT  NOT NULL,
    paused_until     BIGINT,
    version          BIGINT  NOT NULL,
    last_event       BIGINT  NOT NULL,
    created_at       BIGINT  NOT NULL,
    updated_at       BIGINT  NOT NULL,
    removed_at       BIGINT
);
CREATE UNIQUE INDEX store_external ON store (external_id) WHERE removed_at IS NULL AND external_id IS NOT NULL;
CREATE INDEX store_cell ON store (cell, key);
-- What changed lately: how a live index hears of another process's changes.
CREATE INDEX store_changed ON store (last_event);

-- available = on_hand - reserved. A count below what is reserved is kept as counted: the shelf is
-- the truth, and the orders that no longer fit are for re-routing to find.
CREATE TABLE stock (
    store_key  BIGINT NOT NULL,
    sku        TEXT   NOT NULL,
    on_hand    BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved   BIGINT NOT NULL CHECK (reserved >= 0),
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (store_key, sku)
);

CREATE TABLE slot_use (
    store_key BIGINT NOT NULL,
    slot      BIGINT NOT NULL, -- start of the slot
    used      BIGINT NOT NULL CHECK (used >= 0),
    PRIMARY KEY (store_key, slot)
);

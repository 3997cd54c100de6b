-- What an order costs is the pages it touches: rows and index entries in time order share one, each
-- index hit at random dirties its own. So the hot tables keep only those that nothing else answers.

-- A live assignment is its order's (orders.assignment_key), and the order's row, changed only by
-- version, admits one: the two indexes on live assignments said it again.
DROP INDEX assignment_live;
DROP INDEX assignment_store_live;

-- Orders that ended long ago leave the index by which external ids are told apart; archived_external
-- answers for them. They stay where they are in the table: its end is all that new orders touch.
ALTER TABLE orders ADD COLUMN archived_at BIGINT;
DROP INDEX orders_external;
CREATE UNIQUE INDEX orders_external ON orders (external_id, merchant_key) WHERE external_id IS NOT NULL AND archived_at IS NULL;
CREATE INDEX orders_ended ON orders (ended_at) WHERE ended_at IS NOT NULL AND archived_at IS NULL;

CREATE TABLE archived_external (
    external_id  TEXT   NOT NULL,
    merchant_key BIGINT NOT NULL,
    order_key    BIGINT NOT NULL,
    PRIMARY KEY (external_id, merchant_key)
) CLUSTERED;

-- By slot first: the slots that are being filled lie together, and old ones go from the old end.
CREATE TABLE slot_use_clustered (
    slot      BIGINT NOT NULL, -- start of the slot
    store_key BIGINT NOT NULL,
    used      BIGINT NOT NULL CHECK (used >= 0),
    PRIMARY KEY (slot, store_key)
) CLUSTERED;
INSERT INTO slot_use_clustered (slot, store_key, used) SELECT slot, store_key, used FROM slot_use;
DROP TABLE slot_use;
ALTER TABLE slot_use_clustered RENAME TO slot_use;

-- A claim asks the store's row for its room and whether it takes orders. Rows of 600,000 stores do not
-- stay in the cache, this index does: under the key again it holds all that is asked.
ALTER TABLE store ADD COLUMN claim_key BIGINT;
UPDATE store SET claim_key = key;
CREATE INDEX store_claim ON store (claim_key, orders_per_slot, status, paused_until, removed_at);

CREATE TABLE stock_clustered (
    store_key  BIGINT NOT NULL,
    sku        TEXT   NOT NULL,
    on_hand    BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved   BIGINT NOT NULL CHECK (reserved >= 0),
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (store_key, sku)
) CLUSTERED;
INSERT INTO stock_clustered (store_key, sku, on_hand, reserved, updated_at) SELECT store_key, sku, on_hand, reserved, updated_at FROM stock;
DROP TABLE stock;
ALTER TABLE stock_clustered RENAME TO stock;

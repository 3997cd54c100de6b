-- Past demand with its two sources told apart, when shelves ran empty, and how far campaigns are.

-- A row is a day of a SKU at a place: a store, or a cell where the store is not known; the other is 0.
-- units and stockout_hours are what counts: what a file said, where one did, else what the network saw
-- itself (own_*). Both are kept, so that whichever comes first the outcome is the same, and nothing is
-- counted twice. In the order in which plans read it.
CREATE TABLE demand_clustered (
    sku                TEXT    NOT NULL,
    store_key          BIGINT  NOT NULL,
    cell               BIGINT  NOT NULL,
    day                BIGINT  NOT NULL, -- days since 1970-01-01, in the store's local time
    units              DOUBLE PRECISION NOT NULL CHECK (units >= 0),
    stockout_hours     DOUBLE PRECISION NOT NULL,
    discount           DOUBLE PRECISION NOT NULL,
    units_imported     BOOLEAN NOT NULL,
    hours_imported     BOOLEAN NOT NULL,
    own_units          DOUBLE PRECISION NOT NULL,
    own_stockout_hours DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sku, store_key, cell, day)
) CLUSTERED;
INSERT INTO demand_clustered (sku, store_key, cell, day, units, stockout_hours, discount, units_imported, hours_imported, own_units, own_stockout_hours)
    SELECT sku, store_key, cell, day, units, stockout_hours, discount, TRUE, stockout_hours > 0, 0, 0 FROM demand;
DROP TABLE demand;
ALTER TABLE demand_clustered RENAME TO demand;
-- What the network saw itself is forgotten after a while, from the old end; a file's days stay.
CREATE INDEX demand_own ON demand (day) WHERE units_imported = FALSE;

-- Up to which order own demand has been counted: one row, which decides who counts on.
CREATE TABLE demand_counted (
    name      TEXT   PRIMARY KEY,
    order_key BIGINT NOT NULL
);
INSERT INTO demand_counted (name, order_key) VALUES ('orders', 0);

-- While a store has none of a SKU left that an order could claim. A row that is over goes once its
-- hours are in demand; of one that lasts, the days that are over are counted and counted_to moves on.
CREATE TABLE stockout (
    key        BIGKEY,
    store_key  BIGINT NOT NULL,
    sku        TEXT   NOT NULL,
    from_at    BIGINT NOT NULL,
    counted_to BIGINT NOT NULL,
    to_at      BIGINT -- NULL: still empty
);
CREATE UNIQUE INDEX stockout_open ON stockout (store_key, sku) WHERE to_at IS NULL;

-- How many of a task's counted units were left when its campaign was over.
ALTER TABLE prestock_task ADD COLUMN leftover BIGINT;
UPDATE prestock_task SET leftover = 0 WHERE status = 'consumed';

-- Sums over a campaign's tasks, changed in the transaction of each change of a task: progress is read
-- without reading millions of tasks.
CREATE TABLE prestock_progress (
    campaign_key BIGINT NOT NULL,
    cell         BIGINT NOT NULL, -- resolution 7
    sku          TEXT   NOT NULL,
    asked        BIGINT NOT NULL,
    committed    BIGINT NOT NULL,
    reallocated  BIGINT NOT NULL,
    stocked      BIGINT NOT NULL, -- counted on the shelves
    consumed     BIGINT NOT NULL, -- of those, gone when the campaign was over
    leftover     BIGINT NOT NULL, -- of those, left
    ready        BIGINT NOT NULL, -- counted, or where nobody has counted yet, committed
    expected     DOUBLE PRECISION NOT NULL DEFAULT 0, -- units that the last plan expects customers to want; 0: not known
    variance     DOUBLE PRECISION NOT NULL DEFAULT 0, -- of those
    had          DOUBLE PRECISION NOT NULL DEFAULT 0, -- units that serve them beside the campaign's
    PRIMARY KEY (campaign_key, cell, sku)
) CLUSTERED;
INSERT INTO prestock_progress (campaign_key, cell, sku, asked, committed, reallocated, stocked, consumed, leftover, ready)
    SELECT campaign_key, cell, sku, sum(asked), sum(committed), sum(reallocated), coalesce(sum(counted), 0),
        coalesce(sum(CASE WHEN leftover IS NOT NULL THEN counted - leftover END), 0), coalesce(sum(leftover), 0), sum(coalesce(counted, committed))
    FROM prestock_task GROUP BY campaign_key, cell, sku;

-- Who holds the parcel, and what else an order knows of its doorstep. The row is the one place: a parcel
-- with two holders, or with none, cannot be written.

ALTER TABLE orders ADD COLUMN policy_key BIGINT NOT NULL DEFAULT 0; -- the merchant's policy when it was made, 0: the usual one
ALTER TABLE orders ADD COLUMN holder TEXT NOT NULL DEFAULT 'merchant'
    CHECK (holder IN ('merchant', 'store', 'runner', 'customer', 'returned', 'lost'));
ALTER TABLE orders ADD COLUMN holder_store BIGINT NOT NULL DEFAULT 0 -- 0: no store holds it
    CHECK ((holder = 'store') = (holder_store <> 0));
ALTER TABLE orders ADD COLUMN held_since BIGINT NOT NULL DEFAULT 0; -- when the holder got it, by who said so; 0: since the order was made
ALTER TABLE orders ADD COLUMN transfer_to BIGINT NOT NULL DEFAULT 0; -- the store it is to be brought to, 0: none
ALTER TABLE orders ADD COLUMN hold_until BIGINT; -- the store's counter keeps it until then
ALTER TABLE orders ADD COLUMN hold_due BIGINT; -- the next reminder, or the end
ALTER TABLE orders ADD COLUMN hold_extensions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN step_since BIGINT NOT NULL DEFAULT 0; -- since when its next step is what it is; 0: since it was made
ALTER TABLE orders ADD COLUMN step_due BIGINT; -- when somebody should have done it; also NULL until an order changes
ALTER TABLE orders ADD COLUMN step_told BIGINT NOT NULL DEFAULT 0; -- the step_due that was told as missed
ALTER TABLE orders ADD COLUMN code_version BIGINT NOT NULL DEFAULT 0; -- an unlocked code is another code
ALTER TABLE orders ADD COLUMN dispute TEXT NOT NULL DEFAULT ''; -- open, upheld, rejected
ALTER TABLE orders ADD COLUMN erased_at BIGINT; -- the recipient's data was taken out

UPDATE orders SET holder = 'runner' WHERE status IN ('picked_up', 'enroute_to_dropoff', 'arrived_at_dropoff', 'attempt_failed', 'enroute_to_return');
UPDATE orders SET holder = 'store', holder_store = store_key WHERE status IN ('ready_for_pickup', 'received_at_store') AND store_key <> 0;
UPDATE orders SET holder = 'customer' WHERE status IN ('delivered', 'collected');
UPDATE orders SET holder = 'returned' WHERE status = 'returned';

-- Parcels that are under way begin their step, and counters the time that they keep one, with this change,
-- for which the newest change of any order stands: nobody was told of either before.
UPDATE orders SET step_since = (SELECT max(updated_at) FROM orders), step_due = (SELECT max(updated_at) FROM orders) +
        CASE status WHEN 'attempt_failed' THEN 86400000 WHEN 'enroute_to_return' THEN 604800000 ELSE 14400000 END
    WHERE status IN ('ready_for_pickup', 'picked_up', 'enroute_to_dropoff', 'arrived_at_dropoff', 'attempt_failed', 'enroute_to_return');
UPDATE orders SET hold_until = (SELECT max(updated_at) FROM orders) + 604800000, hold_due = (SELECT max(updated_at) FROM orders) + 302400000
    WHERE status = 'received_at_store';

CREATE INDEX orders_hold_due ON orders (hold_due) WHERE hold_due IS NOT NULL;
CREATE INDEX orders_step_due ON orders (step_due) WHERE step_due IS NOT NULL;

-- What was read off labels. A device makes the id, so that what it sends twice happens once; of a scan
-- that changed nothing, since a later one was known, the log of the order says so.
CREATE TABLE scan (
    key         BIGKEY,
    store_key   BIGINT NOT NULL,
    client_id   TEXT   NOT NULL,
    order_key   BIGINT NOT NULL,
    direction   TEXT   NOT NULL, -- in, out
    target      TEXT   NOT NULL, -- of out: runner, merchant, store
    to_store    BIGINT NOT NULL, -- of out to a store, else 0
    moved       BOOLEAN NOT NULL,
    actor       TEXT   NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    seal        BYTES, -- see 0016
    UNIQUE (store_key, client_id)
);
CREATE INDEX scan_order ON scan (order_key);

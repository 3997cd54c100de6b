-- The index on a store's open orders cost each order one page hit at random, half of all that it dirtied.
-- The row of the store's slot, which every claim writes anyhow, now names the assignment that claimed
-- last, and each assignment the one before it: what a store has to do is read by walking back.

ALTER TABLE slot_use ADD COLUMN last_key BIGINT NOT NULL DEFAULT 0; -- the assignment that claimed last, 0: none
ALTER TABLE slot_use ADD COLUMN prev_key BIGINT NOT NULL DEFAULT 0; -- the one before it
ALTER TABLE assignment ADD COLUMN prev_key BIGINT NOT NULL DEFAULT 0; -- the one that claimed of its slot before, 0: none

CREATE TABLE chain (key BIGKEY, prev_key BIGINT NOT NULL, last_key BIGINT NOT NULL, store_key BIGINT NOT NULL, slot BIGINT NOT NULL);
INSERT INTO chain (key, prev_key, last_key, store_key, slot)
    SELECT a.key, coalesce(lag(a.key) OVER (PARTITION BY a.store_key, a.slot ORDER BY a.key), 0),
        max(a.key) OVER (PARTITION BY a.store_key, a.slot), a.store_key, a.slot
    FROM assignment a JOIN slot_use u ON u.slot = a.slot AND u.store_key = a.store_key;
UPDATE assignment SET prev_key = (SELECT c.prev_key FROM chain c WHERE c.key = assignment.key)
    WHERE key IN (SELECT key FROM chain WHERE prev_key <> 0);
CREATE INDEX chain_last ON chain (slot, store_key) WHERE key = last_key;
UPDATE slot_use SET last_key = coalesce((SELECT c.key FROM chain c
    WHERE c.slot = slot_use.slot AND c.store_key = slot_use.store_key AND c.key = c.last_key), 0);
DROP TABLE chain;

DROP INDEX orders_store_open;
-- All open orders, in the order of their making: new ones come at its end.
CREATE INDEX orders_open ON orders (key) WHERE ended_at IS NULL;

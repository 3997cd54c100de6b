-- What lets a changed byte be found: events are chained by hashes, rows carry seals. See internal/seal,
-- internal/event and internal/audit.

ALTER TABLE event ADD COLUMN hash BYTES; -- SHA-256, of the subject's event before it too
ALTER TABLE orders ADD COLUMN seal BYTES;
ALTER TABLE assignment ADD COLUMN seal BYTES;

-- Rows from before have neither, and need none: those with a key greater than this must have them.
CREATE TABLE audit_since (key BIGKEY);
-- (A photo has no key and makes no event: it is dated by its time, as a key made then would be; see ident.At.)
INSERT INTO audit_since (key) SELECT max(k) FROM (SELECT coalesce(max(seq), 0) AS k FROM event
    UNION ALL SELECT coalesce(max(created_at) - 1704067200000, 0) * 4194304 FROM photo) AS x;

-- When an order left the hot indexes says nothing that its end does not say: so nothing is left to change
-- unseen in a column that a job writes for hundreds of orders at once.
UPDATE orders SET archived_at = ended_at WHERE archived_at IS NOT NULL;

ALTER TABLE attempt ADD COLUMN seal BYTES;
ALTER TABLE incident ADD COLUMN seal BYTES;
ALTER TABLE photo ADD COLUMN seal BYTES;
ALTER TABLE merchant_policy ADD COLUMN seal BYTES;

-- Evidence never changes, but for what is personal in it, which may be erased: kept holds the digest of
-- that. The log holds the seals of these rows.
ALTER TABLE dropoff_event ADD COLUMN salt BYTES;
ALTER TABLE dropoff_event ADD COLUMN kept BYTES;
ALTER TABLE dropoff_event ADD COLUMN seal BYTES;
ALTER TABLE remark ADD COLUMN salt BYTES;
ALTER TABLE remark ADD COLUMN kept BYTES;
ALTER TABLE remark ADD COLUMN seal BYTES;

-- Whose data is to be erased next: orders that ended, by the policy they were made under and the time of
-- their end. They come in when they are archived, so no new order pays for it, and go when they are erased.
CREATE INDEX orders_keep ON orders (policy_key, ended_at) WHERE archived_at IS NOT NULL AND erased_at IS NULL;

ALTER TABLE photo ADD COLUMN erased_at BIGINT;

-- A photo that no event ever named belongs to no order, so no order's end would end it.
ALTER TABLE photo_look ADD COLUMN used BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE photo_look SET used = TRUE;
CREATE INDEX photo_look_unused ON photo_look (uploaded_at) WHERE NOT used;

-- Which other orders stand on a photo, or on a signature, is asked before it is erased.
CREATE INDEX dropoff_event_photo ON dropoff_event (photo) WHERE photo <> '';
CREATE INDEX dropoff_event_signature ON dropoff_event (signature) WHERE signature <> '';

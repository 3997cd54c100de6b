-- What looks odd about an attempt, and what it takes to see it: where a phone was just before and after,
-- and which photos a store has shown lately. Every question is one range of one index.

ALTER TABLE attempt ADD COLUMN flags TEXT NOT NULL DEFAULT ''; -- sorted, with commas between
ALTER TABLE attempt ADD COLUMN picked_up_at BIGINT; -- when the parcel left the store for this attempt; NULL: not known yet, or it did not

-- Reported by who acts for the whole network, so it says nothing about where one phone was.
ALTER TABLE dropoff_event ADD COLUMN network BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX dropoff_event_fix ON dropoff_event (actor, occurred_at) WHERE lat IS NOT NULL AND NOT network;

-- What a photo looks like, in 64 bits, and when it came: apart from the picture, so that reading it does
-- not walk through the picture's pages.
CREATE TABLE photo_look (
    sha256      TEXT   NOT NULL,
    look        BIGINT NOT NULL,
    uploaded_at BIGINT NOT NULL, -- first, by our clock
    PRIMARY KEY (sha256)
) CLUSTERED;

-- Each photo that counts in an attempt, in the line of its store.
CREATE TABLE photo_use (
    store_key BIGINT NOT NULL,
    used_at   BIGINT NOT NULL, -- the phone's clock
    order_key BIGINT NOT NULL,
    attempt   BIGINT NOT NULL,
    sha256    TEXT   NOT NULL,
    look      BIGINT, -- NULL: not known
    PRIMARY KEY (store_key, used_at, order_key, attempt, sha256)
) CLUSTERED;
CREATE INDEX photo_use_photo ON photo_use (sha256);

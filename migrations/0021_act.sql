-- Who did what. The log holds it all, but nobody finds a person's ten acts among a peak's millions of events: here
-- each act of a person or of a program, those about orders of its own aside, has a small row. Nothing on the way of
-- an order writes here.
CREATE TABLE act (
    seq     BIGKEY,          -- of the event
    actor   TEXT   NOT NULL, -- as in the event
    kind    TEXT   NOT NULL, -- the resource of the event's type
    subject BIGINT NOT NULL
);
CREATE INDEX act_of_actor ON act (actor, seq);
CREATE INDEX act_about ON act (subject, seq);

-- What people act on that has no row of its own: a setting, a job, the import of a file.
CREATE TABLE matter (
    key         BIGKEY,
    name        TEXT   NOT NULL UNIQUE,
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL
);

ALTER TABLE api_key ADD COLUMN used_at BIGINT; -- to the hour; NULL: never

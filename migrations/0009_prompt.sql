-- How stores are told what they are asked, over which channels, and how well they keep their word.

ALTER TABLE store ADD COLUMN quiet_hours TEXT NOT NULL DEFAULT ''; -- "22:00-07:00" on the store's clock; '': none

-- What a store gets for each unit of a SKU that it sells, in minor units of a currency of its own.
ALTER TABLE campaign_sku ADD COLUMN fee_amount BIGINT;
ALTER TABLE campaign_sku ADD COLUMN fee_currency TEXT NOT NULL DEFAULT '';

-- next_at is when a task is to be looked at next, for a lead, a reminder or the end of the quiet hours; 0 is
-- at the first lead. A sweep walks over what is due and nothing else.
ALTER TABLE prestock_task ADD COLUMN prompted_at BIGINT NOT NULL DEFAULT 0; -- when the store first heard of it; 0: not yet
ALTER TABLE prestock_task ADD COLUMN next_at BIGINT NOT NULL DEFAULT 0;
DROP INDEX prestock_to_prompt;
CREATE INDEX prestock_to_prompt ON prestock_task (campaign_key, next_at)
    WHERE status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged');

-- One row a prompt: its key is what keeps a prompt from being sent twice. How it travels is in delivery.
CREATE TABLE prestock_prompt_by_kind (
    task_key BIGINT  NOT NULL,
    kind     TEXT    NOT NULL, -- lead, reminder_50, reminder_80
    lead_s   BIGINT  NOT NULL, -- 0 of a reminder
    at       BIGINT  NOT NULL,
    sent     BOOLEAN NOT NULL, -- FALSE: passed over, because a later one was due as well
    event    BIGINT  NOT NULL, -- that told of it, 0: none
    PRIMARY KEY (task_key, kind, lead_s)
) CLUSTERED;
INSERT INTO prestock_prompt_by_kind (task_key, kind, lead_s, at, sent, event)
    SELECT task_key, 'lead', lead_s, at, sent, 0 FROM prestock_prompt;
UPDATE prestock_task SET prompted_at = coalesce((SELECT min(at) FROM prestock_prompt p WHERE p.task_key = prestock_task.key AND p.sent = TRUE), 0);
DROP TABLE prestock_prompt;
ALTER TABLE prestock_prompt_by_kind RENAME TO prestock_prompt;

-- How a store kept its word, summed over its tasks that are decided. Sums of fractions are in thousandths.
CREATE TABLE prestock_word (
    store_key BIGINT NOT NULL PRIMARY KEY,
    asked     BIGINT NOT NULL, -- tasks it was asked and has answered or let run out
    answered  BIGINT NOT NULL,
    promised  BIGINT NOT NULL, -- tasks with a promise that came due
    in_time   BIGINT NOT NULL, -- goods counted before the task lapsed
    counted   BIGINT NOT NULL, -- all that was promised was counted
    there     BIGINT NOT NULL  -- part of the promised units that was there, thousandths
);

-- What stores are to be told, written with the event that says so and taken away with the deliveries it
-- becomes. The log says it too, among a thousand times as many orders.
CREATE TABLE announcement (
    event     BIGKEY,
    store_key BIGINT  NOT NULL,
    subject   BIGINT  NOT NULL, -- the task it is about
    kind      TEXT    NOT NULL, -- of the message; '': none, the store has acted on the subject
    urgent    BOOLEAN NOT NULL  -- the last chance to answer
);

-- Browsers and phones that a store wants to be told on.
CREATE TABLE push_subscription (
    key       BIGKEY,
    store_key BIGINT NOT NULL,
    endpoint  TEXT   NOT NULL UNIQUE, -- whoever knows it may send there
    p256dh    TEXT   NOT NULL,
    auth      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    delivered_at BIGINT,
    version      BIGINT NOT NULL
);
CREATE INDEX push_subscription_store ON push_subscription (store_key, key);

-- One row for what is told, by its event, and each address it is told to. Address 0 is the store's inbox.
CREATE TABLE delivery (
    event     BIGINT NOT NULL,
    address   BIGINT NOT NULL, -- of push: the subscription
    store_key BIGINT NOT NULL,
    subject   BIGINT NOT NULL, -- the task it is about
    kind      TEXT   NOT NULL,
    state     TEXT   NOT NULL, -- pending, delivered, failed, gone, moot
    tries     BIGINT NOT NULL,
    next_at   BIGINT NOT NULL, -- not tried before
    detail    TEXT   NOT NULL, -- why the last try failed
    at        BIGINT NOT NULL,
    ended_at  BIGINT,
    read_at   BIGINT,          -- of the inbox
    PRIMARY KEY (event, address)
) CLUSTERED;
CREATE INDEX delivery_due ON delivery (next_at) WHERE state = 'pending';
-- All that is asked about a store's inbox: its messages in order, and whether any about a task was read.
CREATE INDEX delivery_inbox ON delivery (store_key, event, subject, read_at) WHERE address = 0;

-- Stores that could not be told: for a person. One open row a store and kind, however often it happens.
CREATE TABLE escalation (
    key         BIGKEY,
    store_key   BIGINT NOT NULL,
    kind        TEXT   NOT NULL, -- push_failed, not_read
    detail      TEXT   NOT NULL, -- of the last time
    subject     BIGINT NOT NULL, -- of the last time
    times       BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    closed_at   BIGINT,
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL
);
CREATE UNIQUE INDEX escalation_open ON escalation (store_key, kind) WHERE closed_at IS NULL;
CREATE INDEX escalation_list ON escalation (key) WHERE closed_at IS NULL;

-- People who sign in, their browsers, and the stores' phones. Whatever opens something is kept as a hash only.

CREATE TABLE account (
    key         BIGKEY,
    login       TEXT   NOT NULL UNIQUE, -- lower case
    name        TEXT   NOT NULL,
    role        TEXT   NOT NULL,        -- admin, dispatcher
    password    TEXT   NOT NULL,        -- argon2id in PHC form; '' until the person has chosen one
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT,
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL
);

-- Links that work once: a row is gone when its link was used or replaced.
CREATE TABLE account_link (
    key         BIGKEY,
    account_key BIGINT NOT NULL UNIQUE, -- 0: makes the first account
    hash        TEXT   NOT NULL UNIQUE, -- SHA-256 of 256 random bits, so no salt
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

-- A browser that a person signed in with, or a phone that is paired with a store; one of the two owners is 0.
CREATE TABLE session (
    key         BIGKEY,
    hash        TEXT   NOT NULL UNIQUE,
    account_key BIGINT NOT NULL,
    store_key   BIGINT NOT NULL,
    name        TEXT   NOT NULL,        -- to tell one from another in a list
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,        -- to the minute
    expires_at  BIGINT NOT NULL,        -- at the latest; sooner without use
    revoked_at  BIGINT,
    last_event  BIGINT NOT NULL,
    event_count BIGINT NOT NULL
);
CREATE INDEX session_of_account ON session (account_key, key) WHERE account_key <> 0;
CREATE INDEX session_of_store ON session (store_key, key) WHERE store_key <> 0;

CREATE TABLE pairing_code (
    key         BIGKEY,
    store_key   BIGINT NOT NULL,
    hash        TEXT   NOT NULL UNIQUE, -- under the installation's secret: the code itself is short
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    session_key BIGINT NOT NULL,        -- what it was used for, 0: nothing yet
    asked_by    TEXT   NOT NULL         -- hash of the phone's Idempotency-Key: who lost the answer may ask again
);

-- How often something was tried and failed, by a MAC of a login or of an address.
CREATE TABLE sign_in_try (
    name     TEXT PRIMARY KEY,
    tries    BIGINT NOT NULL,
    until_ms BIGINT NOT NULL, -- no other try before
    last_at  BIGINT NOT NULL
);

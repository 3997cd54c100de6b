-- What each merchant asks of the doorstep. A row is never changed: the newest of a merchant holds for new
-- orders, and an order names the one that it was made under.
CREATE TABLE merchant_policy (
    key          BIGKEY,
    merchant_key BIGINT NOT NULL,
    version      BIGINT NOT NULL, -- 1, 2, 3 … of the merchant
    document     TEXT   NOT NULL, -- JSON
    actor        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    UNIQUE (merchant_key, version)
);

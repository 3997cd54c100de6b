-- What people search by. A job writes it some seconds after the fact, in the order of the table, so that a
-- new order and a new store pay nothing for being found.

-- The last digits of recipients' phones, as a MAC under the installation's secret: who has this table alone
-- has no number. By hour first: rows come at the end of the table, those of an hour lie together.
CREATE TABLE order_phone (
    hour      BIGINT NOT NULL, -- since 1970, in which the order's key was made
    mac       BIGINT NOT NULL,
    order_key BIGINT NOT NULL,
    PRIMARY KEY (hour, mac, order_key)
) CLUSTERED;

-- The words of stores' names. As bytes: databases differ in how they sort text. A word that a store does not
-- have any more may stay, whoever asks looks at the store.
CREATE TABLE store_word (
    word      BYTES  NOT NULL, -- lower case, UTF-8
    store_key BIGINT NOT NULL,
    PRIMARY KEY (word, store_key)
) CLUSTERED;

CREATE TABLE search_done (
    name TEXT   NOT NULL PRIMARY KEY,
    upto BIGINT NOT NULL -- of orders: the last key; of stores: the last event
);
INSERT INTO search_done (name, upto) VALUES ('order_phone', 0), ('store_word', 0);

-- Stores that let offers run out one after the other, and did not decline one since.
CREATE TABLE missed_offer (
    store_key BIGINT NOT NULL PRIMARY KEY,
    times     BIGINT NOT NULL,
    since     BIGINT NOT NULL, -- the first of them
    last_at   BIGINT NOT NULL
);

-- The log. Rows of `event` are the only truth; everything else here says who
-- may write it and how far it was archived. Whoever writes, with this program
-- or without, is held to the rules by the triggers: a message that begins with
-- `conflict:` tells the writer that somebody else has the log.

CREATE TABLE event (
    position  INTEGER PRIMARY KEY,
    kind      TEXT    NOT NULL,
    lineage   INTEGER NOT NULL,   -- a random u64, kept as the i64 of the same bits
    term      INTEGER NOT NULL,
    time      INTEGER NOT NULL,   -- microseconds since 1970
    schema    INTEGER NOT NULL,
    principal TEXT    NOT NULL,
    message   TEXT    NOT NULL,
    request   TEXT    NOT NULL,
    cause     INTEGER NOT NULL,
    payload   TEXT    NOT NULL,
    hash      BLOB    NOT NULL
) STRICT;

-- Secrets that rows name by their id; they may be erased.
CREATE TABLE vault (
    id    BLOB PRIMARY KEY,
    nonce BLOB NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may write: the newest term. `settled` counts the writes that settled an unknown outcome.
CREATE TABLE writer (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    term    INTEGER NOT NULL,
    settled INTEGER NOT NULL
) STRICT;
INSERT INTO writer VALUES (1, 0, 0);

-- Up to where rows are in archive files, and may be deleted here.
CREATE TABLE archive (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    archived_to INTEGER NOT NULL
) STRICT;
INSERT INTO archive VALUES (1, 0);

CREATE TRIGGER event_insert BEFORE INSERT ON event
WHEN NEW.term <> (SELECT term FROM writer)
    OR (NEW.position <> ifnull((SELECT max(position) FROM event), 0) + 1
        AND (NEW.kind <> 'lineage' OR NEW.position <= ifnull((SELECT max(position) FROM event), 0)))
BEGIN
    SELECT RAISE(ABORT, 'conflict: another writer has the log') WHERE NEW.term <> (SELECT term FROM writer);
    SELECT RAISE(ABORT, 'conflict: the row does not follow the head');
END;

CREATE TRIGGER event_update BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'refused: rows of the log are never changed');
END;

-- The newest row stays in any case: positions continue from it.
CREATE TRIGGER event_delete BEFORE DELETE ON event
WHEN OLD.position > (SELECT archived_to FROM archive) OR OLD.position = (SELECT max(position) FROM event)
BEGIN
    SELECT RAISE(ABORT, 'refused: only archived rows may be deleted');
END;

CREATE TRIGGER writer_update BEFORE UPDATE ON writer WHEN NEW.term < OLD.term
BEGIN
    SELECT RAISE(ABORT, 'refused: the term never falls');
END;

CREATE TRIGGER writer_delete BEFORE DELETE ON writer
BEGIN
    SELECT RAISE(ABORT, 'refused: the term is never deleted');
END;

CREATE TRIGGER archive_update BEFORE UPDATE ON archive WHEN NEW.archived_to < OLD.archived_to
BEGIN
    SELECT RAISE(ABORT, 'refused: archived_to never falls');
END;

CREATE TRIGGER archive_delete BEFORE DELETE ON archive
BEGIN
    SELECT RAISE(ABORT, 'refused: archived_to is never deleted');
END;

-- Archive files: which ranges of the log are in which file, so that they are found without reading the log. What a row
-- says is what the log's row of kind `seal` says; it is written when that row and the file are durable.

CREATE TABLE sealed (
    first  INTEGER PRIMARY KEY,  -- position of the first row in the file
    last   INTEGER NOT NULL UNIQUE,
    rows   INTEGER NOT NULL,
    hash   BLOB    NOT NULL,     -- of the last row
    file   TEXT    NOT NULL,     -- its name in the archive folder
    digest BLOB    NOT NULL,     -- SHA-256 of the file
    state  BLOB    NOT NULL      -- hash of the state at the last row
) STRICT;

-- Where the archive files are; below the data folder unless it is an absolute path.
ALTER TABLE archive ADD COLUMN folder TEXT NOT NULL DEFAULT 'archive';

CREATE TRIGGER sealed_update BEFORE UPDATE ON sealed
BEGIN
    SELECT RAISE(ABORT, 'refused: what was sealed is never changed');
END;

CREATE TRIGGER sealed_delete BEFORE DELETE ON sealed
BEGIN
    SELECT RAISE(ABORT, 'refused: what was sealed is never forgotten');
END;

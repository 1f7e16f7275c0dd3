-- Each time somebody had done edits read back, to see whether they hold.
CREATE TABLE audit (
    audit      INTEGER PRIMARY KEY,
    begun_at   INTEGER NOT NULL,
    ended_at   INTEGER,           -- of its last end: an audit that was stopped may go on
    ended      TEXT CHECK (ended IN ('finished', 'interrupted', 'stopped')),
    reason     TEXT,
    version    TEXT    NOT NULL,
    user       TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    identifier TEXT    NOT NULL,  -- the admin account that signed
    command    TEXT    NOT NULL,
    done       INTEGER NOT NULL,  -- the done edits, when it began
    wanted     INTEGER NOT NULL,  -- how many of them it looks at
    head       TEXT    NOT NULL,  -- SHA-256 of the digests of their messages and contents, in the order of edit.seq
    seed       TEXT,              -- what they were drawn with; NULL: all of them
    CHECK ((ended IS NULL) = (ended_at IS NULL))
) STRICT;

-- What it found.
CREATE TABLE look (
    audit   INTEGER NOT NULL REFERENCES audit,
    message BLOB    NOT NULL CHECK (length(message) = 16),  -- edit.message
    at      INTEGER NOT NULL,
    found   TEXT    NOT NULL CHECK (found IN ('as_wanted', 'differs', 'recalled', 'not_in_history', 'cannot_be_told')),
    code    INTEGER,  -- the service's ErrorCode, why it cannot be told
    note    TEXT,     -- or why there is none
    PRIMARY KEY (audit, message)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER look_stays BEFORE UPDATE ON look
BEGIN
    SELECT RAISE(ABORT, 'what an audit found stays');
END;

CREATE TRIGGER look_remains BEFORE DELETE ON look
BEGIN
    SELECT RAISE(ABORT, 'what an audit found stays');
END;

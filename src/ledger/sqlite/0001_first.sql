-- A ledger belongs to one job: one application of one service, and one kind of request.
CREATE TABLE job (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    operation  TEXT    NOT NULL CHECK (operation = 'modify_c2c_msg'),
    sdkappid   INTEGER NOT NULL,
    service    TEXT    NOT NULL,  -- host and port, or 'sandbox'
    name       TEXT,              -- the job file's name, where it gives one
    created_at INTEGER NOT NULL   -- times are milliseconds since 1970, UTC
) STRICT;

-- Each time the program worked on it.
CREATE TABLE run (
    run          INTEGER PRIMARY KEY,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    ended        TEXT CHECK (ended IN ('finished', 'interrupted', 'stopped', 'died')),
    reason       TEXT,
    version      TEXT    NOT NULL,
    user         TEXT    NOT NULL,
    host         TEXT    NOT NULL,
    pid          INTEGER NOT NULL,
    input        TEXT    NOT NULL,
    input_sha256 TEXT    NOT NULL,
    input_rows   INTEGER NOT NULL,
    rate         INTEGER NOT NULL,
    CHECK ((ended IS NULL) = (ended_at IS NULL))
) STRICT;

-- Each message that was sent at least once. No message text is in here. (Words are compared one by one: for an IN with
-- more than two of them SQLite makes a table in memory at each step of an edit, which was a third of what the step cost.)
CREATE TABLE edit (
    seq          INTEGER PRIMARY KEY,  -- in the order of first sending
    from_account TEXT    NOT NULL,
    to_account   TEXT    NOT NULL,
    msg_key      TEXT    NOT NULL,
    message      BLOB    NOT NULL UNIQUE CHECK (length(message) = 16),  -- digest of the three above
    content      BLOB    NOT NULL CHECK (length(content) = 16),         -- digest of the wanted content
    line         INTEGER NOT NULL,  -- of the list it was last sent from
    run          INTEGER NOT NULL REFERENCES run,                       -- in which it was last sent
    state        TEXT    NOT NULL CHECK (
        state = 'sending' OR state = 'done' OR state = 'waiting' OR state = 'failed' OR state = 'in_doubt'
    ),
    attempts     INTEGER NOT NULL CHECK (attempts > 0),
    code         INTEGER,           -- the last answer's ErrorCode
    note         TEXT,              -- why there is none
    sent_at      INTEGER NOT NULL,  -- when its last intent was made durable
    took_ms      INTEGER,           -- from then to the outcome
    CHECK (state <> 'done' OR code IS 0 OR note IS NOT NULL),
    CHECK (state NOT IN ('failed', 'waiting') OR code <> 0 OR note IS NOT NULL)
) STRICT;

CREATE TRIGGER edit_begins BEFORE INSERT ON edit WHEN NEW.state <> 'sending' OR NEW.attempts <> 1
BEGIN
    SELECT RAISE(ABORT, 'an edit begins with its first sending');
END;

CREATE TRIGGER edit_moves BEFORE UPDATE OF state ON edit
WHEN NOT CASE OLD.state
    WHEN 'sending'  THEN NEW.state = 'done' OR NEW.state = 'failed' OR NEW.state = 'in_doubt' OR NEW.state = 'waiting'
    WHEN 'waiting'  THEN NEW.state = 'sending'
    WHEN 'failed'   THEN NEW.state = 'sending'
    WHEN 'in_doubt' THEN NEW.state = 'done' OR NEW.state = 'failed' OR NEW.state = 'sending'
    ELSE 0
END
BEGIN
    SELECT RAISE(ABORT, 'an edit cannot take this step');
END;

CREATE TRIGGER edit_stays_itself BEFORE UPDATE OF message, from_account, to_account, msg_key ON edit
BEGIN
    SELECT RAISE(ABORT, 'an edit is of one message');
END;

CREATE TRIGGER edit_leaves BEFORE DELETE ON edit WHEN OLD.state <> 'sending' OR OLD.attempts <> 1
BEGIN
    SELECT RAISE(ABORT, 'only an edit that was never sent leaves the ledger');
END;

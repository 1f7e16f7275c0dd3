-- When it was found that the newest commits of a run are gone with their log. From then on the ledger does not know all
-- that was sent, and every message that it does not call done is read before it is sent.
ALTER TABLE job ADD COLUMN commits_lost_at INTEGER;

-- With --read-first an edit may be settled by reading its message, before anything was sent: then it has no attempts.
CREATE TABLE edit_anew (
    seq          INTEGER PRIMARY KEY,  -- in the order of first sending or reading
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
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    code         INTEGER,           -- the last answer's ErrorCode
    note         TEXT,              -- why there is none
    sent_at      INTEGER NOT NULL,  -- when its last intent was made durable; without one, when its message was read
    took_ms      INTEGER,           -- from then to the outcome
    CHECK (attempts > 0 OR note IS NOT NULL),
    CHECK (state <> 'done' OR code IS 0 OR note IS NOT NULL),
    CHECK (state NOT IN ('failed', 'waiting') OR code <> 0 OR note IS NOT NULL)
) STRICT;

INSERT INTO edit_anew (seq, from_account, to_account, msg_key, message, content, line, run, state, attempts, code, note,
                       sent_at, took_ms)
SELECT seq, from_account, to_account, msg_key, message, content, line, run, state, attempts, code, note, sent_at, took_ms
FROM edit ORDER BY seq;

DROP TABLE edit;
ALTER TABLE edit_anew RENAME TO edit;

CREATE TRIGGER edit_begins BEFORE INSERT ON edit
WHEN NOT (
    (NEW.state = 'sending' AND NEW.attempts = 1)
    OR (NEW.attempts = 0 AND (NEW.state = 'done' OR NEW.state = 'failed' OR NEW.state = 'in_doubt'))
)
BEGIN
    SELECT RAISE(ABORT, 'an edit begins with its first sending, or with reading its message');
END;

-- An edit that waits or has failed is sent again, or settled by reading its message.
CREATE TRIGGER edit_moves BEFORE UPDATE OF state ON edit
WHEN NOT CASE OLD.state
    WHEN 'sending'  THEN NEW.state = 'done' OR NEW.state = 'failed' OR NEW.state = 'in_doubt' OR NEW.state = 'waiting'
    WHEN 'waiting'  THEN NEW.state = 'sending' OR (
        (NEW.state = 'done' OR NEW.state = 'failed' OR NEW.state = 'in_doubt') AND NEW.attempts = OLD.attempts
    )
    WHEN 'failed'   THEN NEW.state = 'sending' OR (
        (NEW.state = 'done' OR NEW.state = 'in_doubt') AND NEW.attempts = OLD.attempts
    )
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

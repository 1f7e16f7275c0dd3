-- What the plan of a run knew, so that whoever reads the ledger can tell how much of the list is left.
ALTER TABLE run ADD COLUMN duplicates INTEGER;  -- rows of the list that repeat another
ALTER TABLE run ADD COLUMN planned    INTEGER;  -- edits that this run set out to send or to read back
ALTER TABLE run ADD COLUMN new_edits  INTEGER;  -- messages of the list that were not in the ledger when it began
ALTER TABLE run ADD COLUMN seq_before INTEGER;  -- the last edit.seq when it began
ALTER TABLE run ADD COLUMN command    TEXT;     -- how it was called; the same command resumes it
ALTER TABLE run ADD COLUMN directory  TEXT;     -- and where

-- How far a run was, every few seconds; all counts are from its beginning.
CREATE TABLE sample (
    run        INTEGER NOT NULL REFERENCES run,
    at         INTEGER NOT NULL,
    rate       INTEGER NOT NULL,  -- requests a second at most
    done       INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    in_doubt   INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    read_backs INTEGER NOT NULL,
    slow_downs INTEGER NOT NULL
) STRICT;

CREATE INDEX sample_of_run ON sample (run);

-- How often each answer other than success came in a run, up to its last sample.
CREATE TABLE answer (
    run     INTEGER NOT NULL REFERENCES run,
    code    INTEGER NOT NULL,  -- ErrorCode; 0 where there was none
    note    TEXT    NOT NULL,  -- what came instead, else ''
    answers INTEGER NOT NULL,
    PRIMARY KEY (run, code, note)
) STRICT, WITHOUT ROWID;

-- How long its answers took: how many up to so many milliseconds, and longer than the slot before.
CREATE TABLE latency (
    run      INTEGER NOT NULL REFERENCES run,
    up_to_ms INTEGER NOT NULL,  -- -1: longer than all others
    answers  INTEGER NOT NULL,
    PRIMARY KEY (run, up_to_ms)
) STRICT, WITHOUT ROWID;

-- What somebody has told a run, before it was done.
CREATE TABLE act (
    run  INTEGER NOT NULL REFERENCES run,
    at   INTEGER NOT NULL,
    what TEXT    NOT NULL CHECK (what IN ('pause', 'resume', 'rate', 'stop')),
    rate INTEGER,             -- requests a second, of 'rate'
    by   TEXT    NOT NULL,    -- who, and by which way
    CHECK ((what = 'rate') = (rate IS NOT NULL))
) STRICT;

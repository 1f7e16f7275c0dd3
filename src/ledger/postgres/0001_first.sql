-- The ledger of several jobs, on which several runs work together. PostgreSQL 15 or newer. The tables are in the schema
-- `runner`. Times are milliseconds since 1970, UTC, by the clock of the run that wrote them; what says `timestamptz` is by the
-- database's clock: no promise rests on either. No message text is in here, and no secret.
CREATE TABLE version (version integer NOT NULL);

-- One cap: an app and a call, across jobs. The row is the lock under which shares change hands.
CREATE TABLE pace (
    pace       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sdkappid   bigint  NOT NULL,
    operation  text    NOT NULL CHECK (operation = 'modify_c2c_msg'),
    endpoint   text    NOT NULL,             -- '' but for loopback: another host is still the same app
    holds      bigint  NOT NULL DEFAULT 0,   -- how often the service asked for time: whoever sees a new one holds, too
    hold_ms    integer NOT NULL DEFAULT 0,   -- how long, the last time
    held_at    timestamptz,                  -- since when: a run that begins holds for what is left of it
    UNIQUE (sdkappid, operation, endpoint)
) WITH (fillfactor = 20);

-- A ledger belongs to one job: one application of one service, and one kind of request.
CREATE TABLE job (
    job             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text    NOT NULL UNIQUE,            -- ?job=NAME
    operation       text    NOT NULL CHECK (operation = 'modify_c2c_msg'),
    sdkappid        bigint  NOT NULL,
    service         text    NOT NULL,                   -- host and port
    job_name        text,                               -- the job file's name, where it gives one
    created_at      bigint  NOT NULL,
    reads_first     boolean NOT NULL DEFAULT false,     -- a run that reads each message first has not come to the end of its list
    pace            integer NOT NULL REFERENCES pace,
    -- A session begins with a run while no other works on the job, and its runs have the same list and settings.
    session         integer NOT NULL DEFAULT 0,
    terms           text,                               -- the settings of this session
    list            bytea,                              -- digest of all its rows (message, content), not of its bytes
    parts           bigint  NOT NULL DEFAULT 0,         -- of 64 rows each
    next_part       bigint  NOT NULL DEFAULT 0,
    paused          boolean NOT NULL DEFAULT false,
    rate            integer CHECK (rate > 0),           -- what an operator said
    rate_by         text,
    stop            text,                               -- who told everybody to stop
    CHECK (next_part <= parts)
);

-- A run's lease: what changes every second, apart from what does not.
CREATE TABLE lease (
    run        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        integer NOT NULL REFERENCES job,
    pace       integer NOT NULL REFERENCES pace,
    session    integer NOT NULL,
    state      text    NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'ended', 'lost')),
    beat       bigint  NOT NULL DEFAULT 0,
    commits    bigint  NOT NULL DEFAULT 0,
    share      integer NOT NULL DEFAULT 0 CHECK (share >= 0),   -- of the cap: edits a second
    reads      integer NOT NULL DEFAULT 0 CHECK (reads >= 0),   -- the same for reading messages back
    wanted     integer NOT NULL DEFAULT 0,
    rate       integer NOT NULL CHECK (rate > 0),               -- its --rate; the lowest of the live ones is the cap
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- How far it is: totals since it began.
    done       bigint  NOT NULL DEFAULT 0,
    failed     bigint  NOT NULL DEFAULT 0,
    in_doubt   bigint  NOT NULL DEFAULT 0,
    requests   bigint  NOT NULL DEFAULT 0,
    read_backs bigint  NOT NULL DEFAULT 0,
    slow_downs bigint  NOT NULL DEFAULT 0,
    speed      real    NOT NULL DEFAULT 0,                      -- edits settled a second
    held       boolean NOT NULL DEFAULT false,
    CHECK (state = 'live' OR (share = 0 AND reads = 0))
) WITH (fillfactor = 20);

-- Each time the program worked on it. The number is the lease's.
CREATE TABLE run (
    run          bigint  PRIMARY KEY REFERENCES lease,
    job          integer NOT NULL REFERENCES job,
    started_at   bigint  NOT NULL,
    ended_at     bigint,
    ended        text    CHECK (ended IN ('finished', 'interrupted', 'stopped', 'died')),
    reason       text,
    version      text    NOT NULL,
    "user"       text    NOT NULL,
    host         text    NOT NULL,
    pid          integer NOT NULL,
    input        text    NOT NULL,
    input_sha256 text    NOT NULL,
    input_rows   bigint  NOT NULL,
    rate         integer NOT NULL,
    duplicates   bigint,             -- rows of the list that repeat another
    planned      bigint,             -- edits that this run set out to send or to read back, with the others
    new_edits    bigint,             -- messages of the list that were not in the ledger when it began
    seq_before   bigint,             -- the last edit.seq when it began
    command      text,               -- how it was called; the same command resumes it
    directory    text,               -- and where
    identifier   text,               -- the admin account that signs
    job_sha256   text,               -- of the job file's bytes, in hexadecimal, where there was one
    proxy        text,               -- host:port, where there was one
    CHECK ((ended IS NULL) = (ended_at IS NULL))
);
CREATE INDEX run_of_job ON run (job);

-- The lists of a run that had several, in their order.
CREATE TABLE run_list (
    run    bigint  NOT NULL REFERENCES run ON DELETE CASCADE,
    list   integer NOT NULL CHECK (list > 0),
    name   text    NOT NULL,
    sha256 text    NOT NULL,
    rows   bigint  NOT NULL,
    PRIMARY KEY (run, list)
);

-- The parts of the list that were taken in this session or an earlier one.
CREATE TABLE part (
    job     integer NOT NULL REFERENCES job,
    number  bigint  NOT NULL CHECK (number >= 0),       -- rows number * 64 + 1 .. of the list
    run     bigint  NOT NULL REFERENCES lease,
    session integer NOT NULL,
    state   text    NOT NULL CHECK (state IN ('taken', 'seen', 'whole')),   -- seen: its run is finished with it; whole: and every edit is done
    PRIMARY KEY (job, number)
) WITH (fillfactor = 70);
CREATE INDEX part_open ON part (job, number) WHERE state <> 'whole';

CREATE TYPE state AS ENUM ('sending', 'waiting', 'done', 'failed', 'in_doubt');

-- Each message that was sent or read at least once.
CREATE TABLE edit (
    job          integer NOT NULL,
    seq          bigint  GENERATED ALWAYS AS IDENTITY,  -- in the order of first sending or reading
    part         bigint  NOT NULL,                      -- the number of the part from which it was last sent
    line         bigint  NOT NULL,                      -- of the list it was last sent from
    list         integer CHECK (list > 0),
    run          bigint  NOT NULL,                      -- in which it was last sent; with attempts, the claim
    attempts     integer NOT NULL CHECK (attempts >= 0),
    state        state   NOT NULL,
    code         bigint,                                -- the last answer's ErrorCode
    note         text,                                  -- why there is none
    sent_at      bigint  NOT NULL,                      -- when its last intent was made durable; without one, when it was read
    took_ms      bigint,                                -- from then to the outcome
    message      bytea   NOT NULL CHECK (octet_length(message) = 16),
    content      bytea   NOT NULL CHECK (octet_length(content) = 16),
    from_account text    NOT NULL,
    to_account   text    NOT NULL,
    msg_key      text    NOT NULL,
    PRIMARY KEY (message, job),              -- this way round: a plan made on an empty table would scan the whole job later
    CHECK (attempts > 0 OR note IS NOT NULL),
    CHECK (state <> 'done' OR code IS NOT DISTINCT FROM 0 OR note IS NOT NULL),
    CHECK (state NOT IN ('failed', 'waiting') OR code <> 0 OR note IS NOT NULL)
) WITH (fillfactor = 50);                    -- outcomes are HOT updates; an index on the state would end that
CREATE INDEX edit_of_part ON edit (part, job);

-- What came of a sending whose claim had passed to somebody else.
CREATE TABLE late (
    job      integer NOT NULL,
    message  bytea   NOT NULL,
    run      bigint  NOT NULL,
    attempts integer NOT NULL,
    state    state   NOT NULL,
    code     bigint,
    note     text,
    at       bigint  NOT NULL,
    PRIMARY KEY (message, job, run, attempts)
);

-- How far a run was, every few seconds; all counts are from its beginning.
CREATE TABLE sample (
    sample     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run        bigint  NOT NULL REFERENCES run,
    at         bigint  NOT NULL,
    rate       integer NOT NULL,
    done       bigint  NOT NULL,
    failed     bigint  NOT NULL,
    in_doubt   bigint  NOT NULL,
    requests   bigint  NOT NULL,
    read_backs bigint  NOT NULL,
    slow_downs bigint  NOT NULL
);
CREATE INDEX sample_of_run ON sample (run);

-- How often each answer other than success came in a run, up to its last sample.
CREATE TABLE answer (
    run     bigint NOT NULL REFERENCES run,
    code    bigint NOT NULL,             -- ErrorCode; 0 where there was none
    note    text   NOT NULL,             -- what came instead, else ''
    answers bigint NOT NULL,
    PRIMARY KEY (run, code, note)
);

-- How long its answers took: how many up to so many milliseconds, and longer than the slot before.
CREATE TABLE latency (
    run      bigint NOT NULL REFERENCES run,
    up_to_ms bigint NOT NULL,            -- -1: longer than all others
    answers  bigint NOT NULL,
    PRIMARY KEY (run, up_to_ms)
);

-- What operators said, before it was done.
CREATE TABLE act (
    act  bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job  integer NOT NULL REFERENCES job,
    run  bigint  REFERENCES run,         -- the last one that had begun
    at   bigint  NOT NULL,
    what text    NOT NULL CHECK (what IN ('pause', 'resume', 'rate', 'stop')),
    rate integer,                        -- requests a second, of 'rate'
    by   text    NOT NULL,               -- who, and by which way
    CHECK ((what = 'rate') = (rate IS NOT NULL))
);

-- Each time somebody had done edits of the job read back, to see whether they hold.
CREATE TABLE audit (
    job        integer NOT NULL REFERENCES job,
    audit      bigint  NOT NULL,             -- of the job's, from 1
    begun_at   bigint  NOT NULL,
    ended_at   bigint,                       -- of its last end: an audit that was stopped may go on
    ended      text    CHECK (ended IN ('finished', 'interrupted', 'stopped')),
    reason     text,
    version    text    NOT NULL,
    "user"     text    NOT NULL,
    host       text    NOT NULL,
    identifier text    NOT NULL,             -- the admin account that signed
    command    text    NOT NULL,
    done       bigint  NOT NULL,             -- the done edits, when it began
    wanted     bigint  NOT NULL,             -- how many of them it looks at
    head       text    NOT NULL,             -- SHA-256 of the digests of their messages and contents, in the order of edit.seq
    seed       text,                         -- what they were drawn with; NULL: all of them
    PRIMARY KEY (job, audit),
    CHECK ((ended IS NULL) = (ended_at IS NULL))
);

-- What it found.
CREATE TABLE look (
    job     integer NOT NULL,
    audit   bigint  NOT NULL,
    message bytea   NOT NULL CHECK (octet_length(message) = 16),   -- edit.message
    at      bigint  NOT NULL,
    found   text    NOT NULL CHECK (found IN ('as_wanted', 'differs', 'recalled', 'not_in_history', 'cannot_be_told')),
    code    bigint,                          -- the service's ErrorCode, why it cannot be told
    note    text,                            -- or why there is none
    PRIMARY KEY (job, audit, message),
    FOREIGN KEY (job, audit) REFERENCES audit
);

-- What messages held before their edits is in files of their own, encrypted: each ciphertext has the originals of one commit.
CREATE TABLE ciphertext (
    run       bigint  NOT NULL REFERENCES run,
    file      text    NOT NULL,              -- the name that the file has in its first line
    number    bigint  NOT NULL,              -- in that file, from 1
    originals bigint  NOT NULL,              -- how many are in it
    sha256    text    NOT NULL,              -- of its bytes, in hexadecimal
    PRIMARY KEY (run, file, number)
);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation'; END $$;
-- But the edits of a copied ledger come in the state that they have: then `runner.copying` is on in that transaction.
CREATE TRIGGER edit_begins BEFORE INSERT ON edit FOR EACH ROW WHEN (NOT (
    (NEW.state = 'sending' AND NEW.attempts = 1)
    OR (NEW.attempts = 0 AND NEW.state IN ('done', 'failed', 'in_doubt'))
) AND current_setting('runner.copying', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION refuse('an edit begins with its first sending, or with reading its message');
CREATE TRIGGER edit_moves BEFORE UPDATE OF state ON edit FOR EACH ROW WHEN (NOT CASE OLD.state
    WHEN 'sending'  THEN NEW.state IN ('done', 'failed', 'in_doubt', 'waiting')
    WHEN 'waiting'  THEN NEW.state = 'sending' OR (NEW.state IN ('done', 'failed', 'in_doubt') AND NEW.attempts = OLD.attempts)
    WHEN 'failed'   THEN NEW.state = 'sending' OR (NEW.state IN ('done', 'in_doubt') AND NEW.attempts = OLD.attempts)
    WHEN 'in_doubt' THEN NEW.state IN ('done', 'failed', 'sending')
    ELSE false END) EXECUTE FUNCTION refuse('an edit cannot take this step');
CREATE TRIGGER edit_stays_itself BEFORE UPDATE OF job, message, from_account, to_account, msg_key ON edit FOR EACH ROW
    WHEN ((OLD.job, OLD.message, OLD.from_account, OLD.to_account, OLD.msg_key)
          IS DISTINCT FROM (NEW.job, NEW.message, NEW.from_account, NEW.to_account, NEW.msg_key))
    EXECUTE FUNCTION refuse('an edit is of one message');
CREATE TRIGGER edit_leaves BEFORE DELETE ON edit FOR EACH ROW WHEN (OLD.state <> 'sending' OR OLD.attempts <> 1)
    EXECUTE FUNCTION refuse('only an edit that was never sent leaves the ledger');
CREATE TRIGGER look_stays BEFORE UPDATE OR DELETE ON look FOR EACH ROW EXECUTE FUNCTION refuse('what an audit found stays');

-- Makes one statement all or nothing.
CREATE FUNCTION must(ok boolean, what text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN IF ok THEN RETURN true; END IF; RAISE EXCEPTION '%', what USING ERRCODE = 'RN001'; END $$;

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

-- What messages held before their edits is in files of their own, encrypted: each ciphertext has the originals of one commit.
CREATE TABLE ciphertext (
    file      TEXT    NOT NULL,  -- the name that the file has in its first line
    number    INTEGER NOT NULL,  -- in that file, from 1
    run       INTEGER NOT NULL REFERENCES run,
    originals INTEGER NOT NULL,  -- how many are in it
    sha256    TEXT    NOT NULL,  -- of its bytes, in hexadecimal
    PRIMARY KEY (file, number)
) STRICT;

-- The content that an edit had at its first event, once it has another one.
ALTER TABLE edit ADD COLUMN first_content BLOB CHECK (length(first_content) = 16);

-- All that happened, in order and without a gap: what came of each sending and of each reading of a message, what runs and
-- audits began and ended with, what operators did, what audits found. It is only ever added to. The tables beside it hold how
-- things stand; the last event of each of their rows says the same. (An edit's intent is in its row alone until its outcome.)
CREATE TABLE event (
    event    INTEGER PRIMARY KEY,  -- from 1
    edit     INTEGER,              -- of an edit: its seq, and its row from here on
    run      INTEGER,              -- of what an audit found: the audit
    at       INTEGER,              -- edit.sent_at; of what an audit found: when
    took_ms  INTEGER,
    line     INTEGER,
    list     INTEGER,
    state    TEXT,                 -- of what an audit found: what
    attempts INTEGER,              -- of what an audit found: NULL
    code     INTEGER,
    note     TEXT,
    content  BLOB,                 -- NULL: the one that the edit had at its first event
    body     TEXT,                 -- all others: an object with the rows that changed, as row_line has them
    CHECK ((edit IS NULL) = (body IS NOT NULL)),
    CHECK (body IS NULL OR instr(CAST(body AS BLOB), x'00') = 0)
) STRICT;

CREATE TRIGGER event_stays BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'what happened stays');
END;

CREATE TRIGGER event_remains BEFORE DELETE ON event
BEGIN
    SELECT RAISE(ABORT, 'what happened stays');
END;

-- The head of that log. Its events are the leaves of the Merkle tree of RFC 9162: each is the line that event_line gives, in
-- UTF-8 and without a line feed at its end.
CREATE TABLE log (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    origin TEXT    NOT NULL,  -- its name, which no other log has
    size   INTEGER NOT NULL,  -- how many events it has
    hashes BLOB    NOT NULL   -- of the complete subtrees, the largest first, 32 bytes each
) STRICT;

-- What audits found.
CREATE INDEX event_look ON event (run, edit) WHERE attempts IS NULL AND edit IS NOT NULL;

CREATE VIEW look AS
SELECT event.run AS audit, edit.message, at, event.state AS found, event.code, event.note
FROM event JOIN edit ON edit.seq = event.edit
WHERE event.attempts IS NULL AND event.edit IS NOT NULL;

-- Each event as one line of JSON. What is written here stays: heads that somebody has kept are of these lines. A column that is
-- added later is left out of the lines of the events before.
CREATE VIEW event_line AS
SELECT event, CASE
    WHEN body IS NOT NULL THEN '{"event":' || event || ',' || substr(body, 2)
    WHEN event.attempts IS NULL THEN json_object(
        'event', event,
        'look', json_object('audit', event.run, 'message', lower(hex(message)), 'at', at, 'found', event.state,
                            'code', event.code, 'note', event.note)
    )
    ELSE json_object(
        'event', event,
        'rows', json_object('edit', json_object('' || event.edit, json_object(
            'from_account', from_account, 'to_account', to_account, 'msg_key', msg_key, 'message', lower(hex(message)),
            'content', lower(hex(coalesce(event.content, first_content, edit.content))), 'line', event.line,
            'list', event.list, 'run', event.run, 'state', event.state, 'attempts', event.attempts, 'code', event.code,
            'note', event.note, 'sent_at', at, 'took_ms', event.took_ms
        )))
    )
END AS line
FROM event LEFT JOIN edit ON edit.seq = event.edit;

-- Each row of the other tables by its key, as its last event must have it. NULL: it is being sent, and the outcome is not
-- known yet.
CREATE VIEW row_line AS
SELECT 'edit' AS name, '' || seq AS "key", CASE
    WHEN state <> 'sending' OR NOT EXISTS (SELECT 1 FROM run WHERE run.run = edit.run AND ended IS NULL) THEN json_object(
        'from_account', from_account, 'to_account', to_account, 'msg_key', msg_key, 'message', lower(hex(message)),
        'content', lower(hex(content)), 'line', line, 'list', list, 'run', run, 'state', state, 'attempts', attempts,
        'code', code, 'note', note, 'sent_at', sent_at, 'took_ms', took_ms
    )
END AS "row"
FROM edit
UNION ALL
SELECT 'job', '' || one, json_object(
    'operation', operation, 'sdkappid', sdkappid, 'service', service, 'name', name, 'created_at', created_at,
    'commits_lost_at', commits_lost_at, 'reads_first', reads_first
) FROM job
UNION ALL
SELECT 'run', '' || run, json_object(
    'started_at', started_at, 'ended_at', ended_at, 'ended', ended, 'reason', reason, 'version', version, 'user', user,
    'host', host, 'pid', pid, 'identifier', identifier, 'input', input, 'input_sha256', input_sha256,
    'input_rows', input_rows, 'job_sha256', job_sha256, 'rate', rate, 'duplicates', duplicates, 'planned', planned,
    'new_edits', new_edits, 'seq_before', seq_before, 'command', command, 'directory', directory, 'proxy', proxy
) FROM run
UNION ALL
SELECT 'run_list', run || '/' || list, json_object('name', name, 'sha256', sha256, 'rows', "rows") FROM run_list
UNION ALL
SELECT 'sample', '' || rowid, json_object(
    'run', run, 'at', at, 'rate', rate, 'done', done, 'failed', failed, 'in_doubt', in_doubt, 'requests', requests,
    'read_backs', read_backs, 'slow_downs', slow_downs
) FROM sample
UNION ALL
SELECT 'answer', run || '/' || code || '/' || note, json_object('answers', answers) FROM answer
UNION ALL
SELECT 'latency', run || '/' || up_to_ms, json_object('answers', answers) FROM latency
UNION ALL
SELECT 'act', '' || rowid, json_object('run', run, 'at', at, 'what', what, 'rate', rate, 'by', by) FROM act
UNION ALL
SELECT 'ciphertext', file || '/' || number, json_object('run', run, 'originals', originals, 'sha256', sha256) FROM ciphertext
UNION ALL
SELECT 'audit', '' || audit, json_object(
    'begun_at', begun_at, 'ended_at', ended_at, 'ended', ended, 'reason', reason, 'version', version, 'user', user,
    'host', host, 'identifier', identifier, 'command', command, 'done', done, 'wanted', wanted, 'head', head, 'seed', seed
) FROM audit;

-- The log of events of each job: all that happened, in order and without a gap. Triggers add to it, so whatever changes a row adds
-- an event in the same transaction. Working state is left out: leases, parts, caps, and an edit's intent until its outcome.
CREATE TABLE log (
    job    integer PRIMARY KEY REFERENCES job,
    origin text   NOT NULL UNIQUE,      -- its name, which no other log has
    size   bigint NOT NULL DEFAULT 0,   -- how many events it has
    hashes bytea  NOT NULL DEFAULT ''   -- of the complete subtrees of their Merkle tree (RFC 9162), the largest first, 32 bytes each
) WITH (fillfactor = 20);

CREATE TABLE event (
    job      integer NOT NULL,
    event    bigint  NOT NULL,          -- from 1
    edit     bigint,                    -- of an edit: its seq, and its row from here on
    run      bigint,
    at       bigint,                    -- edit.sent_at
    took_ms  bigint,
    line     bigint,
    list     integer,
    state    state,
    attempts integer,
    code     bigint,
    note     text,
    content  bytea,
    body     text,                      -- all others: an object with the rows that changed, as row_line has them
    PRIMARY KEY (job, event),
    CHECK ((edit IS NULL) = (body IS NOT NULL))
);
CREATE TRIGGER event_stays BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION refuse('what happened stays');
CREATE TRIGGER event_remains BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION refuse('what happened stays');

-- The row of an edit as a line of JSON.
CREATE FUNCTION edit_line(from_account text, to_account text, msg_key text, message bytea, content bytea, line bigint, list integer,
                          run bigint, state text, attempts integer, code bigint, note text, sent_at bigint, took_ms bigint)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT row_to_json(x)::text FROM (SELECT from_account, to_account, msg_key, encode(message, 'hex') AS message,
        encode(content, 'hex') AS content, line, list, run, state, attempts, code, note, sent_at, took_ms) x
$$;

-- Each event as one line of JSON. What is written here stays: heads that somebody has kept are of these lines.
CREATE VIEW event_line AS
SELECT v.job, v.event, CASE
    WHEN v.body IS NOT NULL THEN '{"event":' || v.event || ',' || substr(v.body, 2)
    ELSE '{"event":' || v.event || ',"rows":{"edit":{"' || v.edit || '":' || edit_line(e.from_account, e.to_account, e.msg_key, e.message,
        v.content, v.line, v.list, v.run, v.state::text, v.attempts, v.code, v.note, v.at, v.took_ms) || '}}}'
END AS line, v.edit, v.run, v.state, v.body, e.message
FROM event v LEFT JOIN edit e ON e.seq = v.edit AND e.job = v.job;

-- The key of a row among those of its table.
CREATE FUNCTION row_key(name text, r json) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE name
        WHEN 'run_list' THEN (r->>'run') || '/' || (r->>'list')
        WHEN 'sample' THEN r->>'sample'
        WHEN 'answer' THEN (r->>'run') || '/' || (r->>'code') || '/' || (r->>'note')
        WHEN 'latency' THEN (r->>'run') || '/' || (r->>'up_to_ms')
        WHEN 'act' THEN r->>'act'
        WHEN 'ciphertext' THEN (r->>'run') || '/' || (r->>'file') || '/' || (r->>'number')
        WHEN 'audit' THEN r->>'audit'
        WHEN 'look' THEN (r->>'audit') || '/' || (r->>'message')
        WHEN 'late' THEN (r->>'run') || '/' || (r->>'attempts') || '/' || (r->>'message')
        ELSE r->>name
    END
$$;

-- Each row of the other tables by its key, as its last event must have it.
CREATE VIEW row_line AS
WITH r AS (
    SELECT j.job, 'job' AS name, row_to_json(x) AS r
    FROM job j, LATERAL (SELECT j.job, j.name, j.operation, j.sdkappid, j.service, j.job_name, j.created_at, j.reads_first) x
    UNION ALL SELECT job, 'run', row_to_json(x) FROM run x
    UNION ALL SELECT run.job, 'run_list', row_to_json(x) FROM run_list x JOIN run USING (run)
    UNION ALL SELECT run.job, 'sample', row_to_json(x) FROM sample x JOIN run USING (run)
    UNION ALL SELECT run.job, 'answer', row_to_json(x) FROM answer x JOIN run USING (run)
    UNION ALL SELECT run.job, 'latency', row_to_json(x) FROM latency x JOIN run USING (run)
    UNION ALL SELECT job, 'act', row_to_json(x) FROM act x
    UNION ALL SELECT run.job, 'ciphertext', row_to_json(x) FROM ciphertext x JOIN run USING (run)
    UNION ALL SELECT job, 'audit', row_to_json(x) FROM audit x
    UNION ALL SELECT job, 'look', row_to_json(x) FROM look x
    UNION ALL SELECT job, 'late', row_to_json(x) FROM late x
)
SELECT job, name, row_key(name, r) AS "key", r::text AS "row" FROM r;

-- Adds leaves to the tree of a log, whose row is locked.
CREATE FUNCTION log_append(which integer, lines text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s bigint; h bytea; node bytea; line text; n bigint;
BEGIN
    SELECT size, hashes INTO STRICT s, h FROM log WHERE job = which;
    FOREACH line IN ARRAY lines LOOP
        node := sha256('\x00'::bytea || convert_to(line, 'UTF8'));
        n := s;
        WHILE n & 1 = 1 LOOP
            node := sha256('\x01'::bytea || substr(h, octet_length(h) - 31) || node);
            h := substr(h, 1, octet_length(h) - 32);
            n := n >> 1;
        END LOOP;
        h := h || node;
        s := s + 1;
    END LOOP;
    UPDATE log SET size = s, hashes = h WHERE job = which;
END $$;

-- Adds an event that is not of an edit.
CREATE FUNCTION log_body(which integer, added text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    SELECT size + 1 INTO STRICT n FROM log WHERE job = which FOR NO KEY UPDATE;
    INSERT INTO event (job, event, body) VALUES (which, n, added);
    PERFORM log_append(which, ARRAY['{"event":' || n || ',' || substr(added, 2)]);
END $$;

CREATE FUNCTION log_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT (1000 * extract(epoch FROM clock_timestamp()))::bigint $$;

-- Edits that are not being sent: each is an event.
CREATE FUNCTION log_edits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = runner, pg_temp SET bytea_output = hex AS $$
DECLARE
    which integer; s bigint; lines text[];
BEGIN
    FOR which IN SELECT DISTINCT c.job FROM changed c WHERE c.state <> 'sending' ORDER BY 1 LOOP
        SELECT size INTO STRICT s FROM log WHERE job = which FOR NO KEY UPDATE;
        -- The log of a copy begins when all else is there.
        CONTINUE WHEN s = 0;
        WITH n AS (
            SELECT s + row_number() OVER (ORDER BY c.seq) AS event, c.* FROM changed c WHERE c.job = which AND c.state <> 'sending'),
        i AS (
            INSERT INTO event (job, event, edit, run, at, took_ms, line, list, state, attempts, code, note, content)
            SELECT which, n.event, n.seq, n.run, n.sent_at, n.took_ms, n.line, n.list, n.state, n.attempts, n.code, n.note, n.content
            FROM n)
        SELECT array_agg('{"event":' || n.event || ',"rows":{"edit":{"' || n.seq || '":' || edit_line(n.from_account, n.to_account,
            n.msg_key, n.message, n.content, n.line, n.list, n.run, n.state::text, n.attempts, n.code, n.note, n.sent_at, n.took_ms)
            || '}}}' ORDER BY n.event)
        INTO lines FROM n;
        PERFORM log_append(which, lines);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER edit_is_added AFTER INSERT ON edit REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_edits();
CREATE TRIGGER edit_is_changed AFTER UPDATE ON edit REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_edits();

-- Rows of another table: those that a statement has changed are one event for each job, but what is of single messages is one each.
CREATE FUNCTION log_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = runner, pg_temp SET bytea_output = hex AS $$
DECLARE
    name text := TG_TABLE_NAME; g record;
BEGIN
    FOR g IN
        WITH c AS (SELECT row_to_json(x) AS r FROM changed x),
        k AS (
            SELECT coalesce((r->>'job')::integer, (SELECT x.job FROM run x WHERE x.run = (r->>'run')::bigint)) AS job,
                   row_key(name, r) AS "key", r::text AS "row"
            FROM c)
        SELECT job, string_agg(to_json("key")::text || ':' || "row", ',' ORDER BY "key" COLLATE "C") AS rows FROM k
        GROUP BY job, CASE WHEN name IN ('look', 'late') THEN "key" END ORDER BY job
    LOOP
        CONTINUE WHEN (SELECT size FROM log WHERE job = g.job) = 0;
        PERFORM log_body(g.job, '{"what":' || to_json(name)::text || ',"at":' || log_now() || ',"rows":{' || to_json(name)::text || ':{'
            || g.rows || '}}}');
    END LOOP;
    RETURN NULL;
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['run', 'run_list', 'sample', 'answer', 'latency', 'act', 'ciphertext', 'audit', 'look', 'late'] LOOP
        EXECUTE format('CREATE TRIGGER %1$s_is_added AFTER INSERT ON %1$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_rows()', name);
        EXECUTE format('CREATE TRIGGER %1$s_is_changed AFTER UPDATE ON %1$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_rows()', name);
    END LOOP;
END $$;

-- Begins the log of a job with the job as it is: `made`, or `copied` from a ledger whose log had this head.
CREATE FUNCTION log_begin(which integer, why text, copied_from text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s bigint; lines text[];
BEGIN
    PERFORM log_body(which, (
        SELECT '{"what":"begun","at":' || log_now() || ',"begun":{"why":' || to_json(why)::text || ',"log":' || to_json(origin)::text
            || CASE WHEN copied_from IS NULL THEN '' ELSE ',"from":' || to_json(copied_from)::text END || '},"rows":{'
            || (SELECT string_agg(to_json(g.name)::text || ':{' || g.rows || '}', ',' ORDER BY g.name COLLATE "C") FROM (
                    SELECT name, string_agg(to_json("key")::text || ':' || "row", ',' ORDER BY "key" COLLATE "C") AS rows
                    FROM row_line WHERE job = which AND name NOT IN ('look', 'late') GROUP BY name) g)
            || '}}'
        FROM log WHERE job = which));
    PERFORM log_body(which, '{"what":' || to_json(l.name)::text || ',"at":' || log_now() || ',"rows":{' || to_json(l.name)::text || ':{'
            || to_json("key")::text || ':' || "row" || '}}}')
    FROM (SELECT * FROM row_line WHERE job = which AND name IN ('look', 'late') ORDER BY name, "key" COLLATE "C") l;
    SELECT size INTO STRICT s FROM log WHERE job = which;
    INSERT INTO event (job, event, edit, run, at, took_ms, line, list, state, attempts, code, note, content)
    SELECT which, s + row_number() OVER (ORDER BY seq), seq, run, sent_at, took_ms, line, list, state, attempts, code, note, content
    FROM edit WHERE job = which AND state <> 'sending';
    SELECT array_agg(l.line ORDER BY l.event) INTO lines FROM event_line l WHERE l.job = which AND l.event > s;
    IF lines IS NOT NULL THEN
        PERFORM log_append(which, lines);
    END IF;
END $$;

CREATE FUNCTION log_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = runner, pg_temp SET bytea_output = hex AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO log (job, origin) VALUES (NEW.job, 'runner/' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 12));
        IF current_setting('runner.copying', true) IS DISTINCT FROM 'on' THEN
            PERFORM log_begin(NEW.job, 'made', NULL);
        END IF;
    ELSE
        PERFORM log_body(NEW.job, (SELECT '{"what":"job","at":' || log_now() || ',"rows":{"job":{' || to_json("key")::text || ':' || "row" || '}}}'
            FROM row_line WHERE job = NEW.job AND name = 'job'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER job_is_added AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION log_job();
CREATE TRIGGER job_is_changed AFTER UPDATE OF name, operation, sdkappid, service, job_name, created_at, reads_first ON job FOR EACH ROW
    WHEN ((OLD.name, OLD.operation, OLD.sdkappid, OLD.service, OLD.job_name, OLD.created_at, OLD.reads_first)
          IS DISTINCT FROM (NEW.name, NEW.operation, NEW.sdkappid, NEW.service, NEW.job_name, NEW.created_at, NEW.reads_first))
    EXECUTE FUNCTION log_job();

-- A trigger needs no right to call its function. Whoever had it could make events of what a table of his own holds.
REVOKE EXECUTE ON FUNCTION log_edits(), log_rows(), log_job() FROM PUBLIC;

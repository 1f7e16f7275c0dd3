-- Five questions that an auditor may have of a ledger: sqlite3 -readonly -box ledger.db '.read jobs/operations/audit.sql'
-- It holds ids, digests, codes and times (milliseconds since 1970, UTC); no message text and no secret.

-- How many edits are in which state, and why?
SELECT state, code, note, count(*) AS edits FROM edit GROUP BY state, code, note;

-- Which of them are not done, or were not sent exactly once? (A hundred at most; attempts counts how often each was sent.)
SELECT from_account, to_account, msg_key, state, code, note, attempts, datetime(sent_at / 1000, 'unixepoch') AS sent FROM edit
WHERE state <> 'done' OR attempts <> 1 ORDER BY state = 'done', sent_at LIMIT 100;

-- Who ran this, with which list, and how did it end?
SELECT run, datetime(started_at / 1000, 'unixepoch') AS started, user, host, identifier, version, input, input_sha256, input_rows, job_sha256,
       ended, reason, command
FROM run ORDER BY run;

-- With which lists, where a run had several? (Its input_sha256 is then the SHA-256 of theirs, one a line.)
SELECT run, list, name, sha256, "rows" FROM run_list ORDER BY run, list;

-- Who controlled a run, and how, while it was running?
SELECT run, datetime(at / 1000, 'unixepoch') AS at, what, rate, by FROM act ORDER BY at;

-- Four questions that an auditor may have of a ledger: sqlite3 -readonly -box ledger.db '.read jobs/operations/audit.sql'
-- It holds ids, digests, codes and times (milliseconds since 1970, UTC); no message text and no secret.

-- How many edits are in which state, and why?
SELECT state, code, note, count(*) AS edits FROM edit GROUP BY state, code, note;

-- What happened to one message, and when?
SELECT msg_key, state, code, note, attempts, datetime(sent_at / 1000, 'unixepoch') AS sent FROM edit
WHERE from_account = 'user_10122' AND to_account = 'user_10328' AND msg_key = '2158288731_4085985277_1789497120';

-- Who ran this, with which list, and how did it end?
SELECT run, datetime(started_at / 1000, 'unixepoch') AS started, user, host, version, input, input_sha256, input_rows, ended, reason
FROM run ORDER BY run;

-- Who controlled a run, and how, while it was running?
SELECT run, datetime(at / 1000, 'unixepoch') AS at, what, rate, by FROM act ORDER BY at;

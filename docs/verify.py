#!/usr/bin/env python3
"""Was a ledger file of runner altered? Needs nothing but Python: verify.py LEDGER [HEADS]

Computes the log again from the file, and all rows from the log, and compares the log with HEADS, a file of checkpoints that
was kept elsewhere. Exit code: 0 it holds, 1 it was altered, 2 it cannot be said. For a file whose last run has ended."""

import base64, hashlib, json, os, re, sqlite3, sys, urllib.parse

SCHEMA = "1a4a4ebbed62be2fbc7e5912553c839f0e3adddc1ae9b921909f2d4584c97dd2"  # of a ledger of version 7


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


name = sys.argv[1]
try:
    text = open(sys.argv[2], encoding="utf-8-sig").read() if len(sys.argv) > 2 else None
    db = sqlite3.connect(f"file:{urllib.parse.quote(os.path.abspath(name))}?mode=ro&immutable=1", uri=True)
    db.execute("SELECT 1 FROM log, event LIMIT 1")
except (OSError, ValueError, sqlite3.Error) as error:
    sys.exit(print(f"cannot be verified: {error}") or 2)
lines = [line for line in (text or "").split("\n") if not line.startswith("— ")]
heads = [block.strip("\n").split("\n") for block in "\n".join(lines).split("\n\n") if block.strip("\n")]
cut_off = re.compile(r"[^\n]+(\n(0|[1-9][0-9]*)(\n[A-Za-z0-9+/]{1,43})?)?")  # as by a full disk
heads = [head for head in heads if not cut_off.fullmatch("\n".join(head))]
if any(len(head) != 3 for head in heads) or (text is not None and not heads):
    sys.exit(print("these are no heads") or 2)
if os.path.exists(name + "-wal") and os.path.getsize(name + "-wal"):
    sys.exit(print(f"a log is beside it, {name}-wal: let a run end first") or 2)
schema = db.execute("SELECT sql FROM sqlite_schema WHERE sql <> '' AND tbl_name NOT GLOB 'sqlite_*' ORDER BY name, sql")
wrong = [] if sha256("\n".join(sql for (sql,) in schema).encode()).hex() == SCHEMA else ["the schema"]
odd = "body <> '' AND coalesce(edit, run, at, state, attempts, code, note, content, instr(CAST(body AS BLOB), x'00') OR NULL)"
odd += " IS NOT NULL OR attempts IS NULL AND coalesce(took_ms, line, list, content) IS NOT NULL"
wrong += [f"event {event}" for (event,) in db.execute(f"SELECT event FROM event WHERE {odd}")]
wrong += ["the log"] if db.execute("SELECT count(*) FROM log").fetchone() != (1,) else []
wrong += [f"the file: {found}" for (found,) in db.execute("PRAGMA integrity_check(1)") if found != "ok"]
origin, size, hashes = db.execute("SELECT origin, size, hashes FROM log").fetchone()
trees, rows, roots = [], {}, {}  # the complete subtrees so far; the rows by table and key; the roots by size
for count, (event, line) in enumerate(db.execute("SELECT event, line FROM event_line ORDER BY event"), 1):
    node, left = sha256(b"\0", (line or "").encode()), count - 1
    while left & 1:
        node, left = sha256(b"\1", trees.pop(), node), left >> 1
    trees.append(node)
    event_rows = json.loads(line or "{}").get("rows", {})
    for key, row in ((f"{table} {key}", row) for table in event_rows for key, row in event_rows[table].items()):
        if event != count or (key.startswith("edit ") and rows.get(key, {}).get("state") == "done"):
            wrong.append(f"event {count}")
        rows[key] = row
    if str(count) in (head[1] for head in heads) or count == size:
        root = trees[-1]
        for tree in reversed(trees[:-1]):
            root = sha256(b"\1", tree, root)
        roots[str(count)] = base64.b64encode(root).decode()
for table, key, row in db.execute('SELECT name, "key", "row" FROM row_line'):
    then = rows.pop(f"{table} {key}", None)
    is_sent = row is None and (then or {}).get("state") != "done"  # its outcome is not known yet
    if not is_sent and (row is None or then != json.loads(row)):
        wrong.append(f"row {key} of {table}")
wrong += [f"{key}, which is gone" for key, row in rows.items() if row is not None]
wrong += ["its own head"] if b"".join(trees) != hashes or str(size) not in roots else []
wrong += [f"the head at {head[1]} events" for head in heads if [origin, head[1], roots.get(head[1])] != head]
print("\n".join(f"altered: {what}" for what in wrong) or f"holds: {size} events, {roots[str(size)]}")
sys.exit(1 if wrong else 0)

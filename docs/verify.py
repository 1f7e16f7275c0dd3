#!/usr/bin/env python3
"""Was a ledger file of runner altered? Needs nothing but Python: verify.py LEDGER [HEADS]

Computes the log again from the file, and all rows from the log, and compares the log with HEADS, a file of checkpoints that
was kept elsewhere. Exit code: 0 it holds, 1 it was altered. For a file that no run works on."""

import base64, hashlib, json, sqlite3, sys

SCHEMA = "a614f07f8a5ad35bef191362022e674c7d61c25f61dcd6e0234444b16a2a248c"  # of a ledger of version 7


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


db = sqlite3.connect(f"file:{sys.argv[1]}?immutable=1", uri=True)
text = open(sys.argv[2], encoding="utf-8").read() if len(sys.argv) > 2 else ""
heads = [block.split("\n")[:3] for block in text.split("\n\n") if block and not block.startswith("— ")]
schema = db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name")
wrong = [] if sha256("\n".join(sql for (sql,) in schema).encode()).hex() == SCHEMA else ["the schema"]
wrong += [f"the file: {text}" for (text,) in db.execute("PRAGMA integrity_check(1)") if text != "ok"]
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

#!/usr/bin/env python3
"""Verifies a log of xenledger as proto-docs/log.md describes it: `verify.py DATA` prints rows, position and hash, or the
first row that is wrong. The standard library is enough; archives are unpacked by the program `zstd`."""
import hashlib, json, os, shutil, sqlite3, struct, subprocess, sys

COLUMNS = "kind, lineage, term, position, time, schema, principal, message, request, cause, payload, hash"
NUMBERS = {1, 2, 3, 4, 5, 9}  # the columns that are hashed as 8 bytes

def column(value):
    raw = value.encode() if isinstance(value, str) else struct.pack(">q", value)
    return struct.pack(">I", len(raw)) + raw

def archived(path):
    if not shutil.which("zstd"):
        sys.exit(f"skipped: {path} and what is behind it cannot be read without the program zstd")
    data, at = subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout, 0
    while at < len(data):
        row = []
        for nth in range(11):
            (length,) = struct.unpack_from(">I", data, at)
            raw, at = data[at + 4 : at + 4 + length], at + 4 + length
            row.append(struct.unpack(">q", raw)[0] if nth in NUMBERS else raw.decode())
        yield row + [data[at : at + 4]]  # an archive has the beginning of each hash
        at += 4

def rows(log, archives):
    at = 0
    for row in log.execute(f"SELECT {COLUMNS} FROM event ORDER BY position"):
        for first, last, path in archives:  # for what the database does not have any more
            for old in archived(path) if at + 1 < row[3] and at < last and first < row[3] else ():
                if at < old[3] < row[3]:
                    yield old, 4
                    at = old[3]
        yield row, 32
        at = row[3]

def verify(log, archives):
    count, at, lineage, term, time, previous, sealed = 0, 0, None, 0, -(2**63), bytes(32), {}
    try:
        for row, known in rows(log, archives):
            if row[3] != at + 1 and row[0] != "lineage":
                sys.exit(f"row {at + 1}: it is missing: after it comes row {row[3]}")
            previous = hashlib.sha256(b"xenledger/1\0" + previous + b"".join(map(column, row[:11]))).digest()
            if previous[:known] != row[11]:
                sys.exit(f"row {row[3]}: its hash does not fit: it was changed, or the row before it")
            if row[2] < term or row[4] < time or row[5] != 1 or at and (row[0] == "lineage") == (row[1] == lineage):
                sys.exit(f"row {row[3]}: its term, its time, its schema or its lineage is wrong")
            count, lineage, term, at, time, args = count + 1, *row[1:5], json.loads(row[10]).get("args")
            sealed |= {args["file"]: args["digest"]} if row[0] == "seal" else {}
        for first, last, path in archives:
            if hashlib.sha256(open(path, "rb").read()).hexdigest() != sealed.get(os.path.basename(path)):
                sys.exit(f"row {first}: the archive {path} is not the one that was sealed")
    except Exception as error:
        sys.exit(f"row {at + 1}: it cannot be read: {error}")
    print(count, at, previous.hex())

log = sqlite3.connect(f"file:{sys.argv[1]}/log.sqlite?mode=ro", uri=True)
there = log.execute("SELECT 1 FROM sqlite_master WHERE name = 'sealed'").fetchone()
sealed = log.execute("SELECT first, last, folder || '/' || file FROM sealed, archive ORDER BY first") if there else ()
verify(log, [(first, last, os.path.join(sys.argv[1], path)) for first, last, path in sealed])

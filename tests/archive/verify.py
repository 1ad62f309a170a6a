#!/usr/bin/env python3
"""Verifies a log of xenledger as proto-docs/log.md describes it: `verify.py DATA` prints rows, position and hash, or the
first row that is wrong. The standard library is enough; archives need Python 3.14, or the program `zstd`."""
import hashlib, json, os, sqlite3, struct, subprocess, sys

NUMBERS = {1, 2, 3, 4, 5, 9}  # columns that are hashed as 8 bytes: lineage, term, position, time, schema, cause
KINDS = {"change", "refused", "login", "seal", "lineage", "checkpoint"}
COLUMNS = "kind, lineage, term, position, time, schema, principal, message, request, cause, payload, hash"


class Wrong(Exception):
    pass


def column(value):
    raw = value.encode() if isinstance(value, str) else struct.pack(">Q", value & (1 << 64) - 1)
    return struct.pack(">I", len(raw)) + raw


def unpacked(path):
    try:
        from compression import zstd  # Python 3.14
        return zstd.decompress(open(path, "rb").read())
    except ImportError:
        return subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout


def archived(path, position, previous):
    data, at = unpacked(path), 0
    while at < len(data):
        begun, row = at, []
        for nth in range(11):
            (length,) = struct.unpack_from(">I", data, at)
            raw, at = data[at + 4 : at + 4 + length], at + 4 + length
            row.append(struct.unpack(">Q", raw)[0] if nth in NUMBERS else raw.decode())
        previous = hashlib.sha256(b"xenledger/1\0" + previous + data[begun:at]).digest()
        if data[at : at + 4] != previous[:4]:
            raise Wrong(f"row {position + 1}: its hash does not fit (in {os.path.basename(path)})")
        position, at = row[3], at + 4
        yield row + [previous]


def rows(log, files):
    position, previous = 0, bytes(32)
    for row in log.execute(f"SELECT {COLUMNS} FROM event ORDER BY position"):
        while row[3] > position + 1 and (file := next((f for f in files if f[1] > position), None)) and file[0] < row[3]:
            before = position
            try:
                for old in archived(file[2], position, previous):
                    position, previous = old[3], old[11]
                    yield old
            except Exception as error:
                raise error if isinstance(error, Wrong) else Wrong(f"row {position + 1}: {file[2]}: {error}")
            if position == before:
                break
        position, previous = row[3], row[11]
        yield row


def verify(data):
    log = sqlite3.connect(f"file:{data}/log.sqlite?mode=ro", uri=True)
    sealed, seals = [], {}
    if log.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sealed'").fetchone()[0]:
        sealed = log.execute("SELECT first, last, folder || '/' || file FROM sealed, archive ORDER BY first").fetchall()
    files = [(first, last, os.path.join(data, path)) for first, last, path in sealed]
    count, lineage, term, position, time, previous = 0, None, 0, 0, None, bytes(32)
    for row in rows(log, files):
        here = row[3]
        if here != position + 1 and row[0] != "lineage":
            raise Wrong(f"row {position + 1}: it is missing: after it comes row {here}")
        if row[0] not in KINDS or len(row[11]) != 32:
            raise Wrong(f"row {here}: it cannot be read")
        if hashlib.sha256(b"xenledger/1\0" + previous + b"".join(map(column, row[:11]))).digest() != row[11]:
            raise Wrong(f"row {here}: its hash does not fit: it was changed, or the row before it")
        if row[2] < term or (time is not None and row[4] < time) or not 1 <= row[5] <= 1:
            raise Wrong(f"row {here}: its term or time falls, or its schema is not known")
        if lineage is not None and (row[0] == "lineage") == (row[1] & (1 << 64) - 1 == lineage):
            raise Wrong(f"row {here}: its lineage is wrong")
        payload = json.loads(row[10])
        if row[0] == "seal":
            seals[payload["args"]["file"]] = bytes.fromhex(payload["args"]["digest"])
        count, lineage, term, position, time, previous = count + 1, row[1] & (1 << 64) - 1, row[2], here, row[4], row[11]
    for first, last, path in files:
        if hashlib.sha256(open(path, "rb").read()).digest() != seals.get(os.path.basename(path)):
            raise Wrong(f"row {first}: the archive {path} of rows {first} to {last} is not the one that was sealed")
    return f"{count} {position} {previous.hex()}"


try:
    print(verify(sys.argv[1]))
except Wrong as wrong:
    sys.exit(str(wrong))

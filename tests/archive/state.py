#!/usr/bin/env python3
"""Folds a log of xenledger and prints position and hash of the state, as proto-docs/log.md describes both: `state.py DATA
MODEL`, where MODEL has what `xenledger model` prints. Reads the database alone, not archives."""
import hashlib, json, sqlite3, sys

# Internal fields, of which the model does not tell, that begin with something else than what is empty of their kind.
INTERNAL = {("host", "auto_enable"): True, ("host", "sched_gran"): "cpu", ("host", "sched_gran_chosen"): "cpu",
            ("PCI", "dom0_access"): "enabled"}

def default(field, enums):
    kind, text = field["type"], field.get("default", "").strip('"')
    if kind.endswith(" set"):
        return [one for one in text.strip("{}").split("; ") if one]
    if kind.endswith(" map"):
        return dict(pair.replace('"', "").split(" -> ") for pair in text.strip("{}").split(", ") if pair)
    if kind.startswith("enum "):
        return text or enums[kind.removeprefix("enum ")][0]
    if kind == "bool":
        return text == "true"
    if kind in ("int", "float"):
        return json.loads(text or "0")
    return text if kind == "string" else 0 if kind == "datetime" else ""

def changed(old, delta):
    if "added" in delta:
        return [one for one in old if one not in delta["removed"]] + delta["added"]
    if "set" in delta:
        kept = {key: value for key, value in old.items() if key not in delta["removed"]}
        return kept | {key: new for key, (_, new) in delta["set"].items()}
    return delta["new"]

def fold(log, defaults):
    objects, position = {}, 0
    for position, payload in log.execute("SELECT position, payload FROM event ORDER BY position"):
        for change in json.loads(payload).get("changes", []):
            key, fields = (change["class"], change["ref"]), change.get("fields", {})
            if change["op"] == "del":
                del objects[key]
            elif change["op"] == "add":
                objects[key] = fields
            else:
                for name, delta in fields.items():
                    empty = defaults.get((key[0], name), [] if "added" in delta else {})
                    objects[key][name] = changed(objects[key].get(name, empty), delta)
    return position, objects

def state_hash(objects, defaults):
    sha = hashlib.sha256()
    for (name, reference), record in sorted(objects.items()):
        differing = {key: value for key, value in record.items() if value != defaults.get((name, key), type(value)())}
        text = json.dumps(differing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        sha.update(name.encode() + bytes.fromhex(reference.replace("-", "")) + text.encode())
    return sha.hexdigest()

classes = json.load(open(sys.argv[2]))["classes"]
enums = {name: values for known in classes for name, values in known["enums"].items()}
defaults = {(known["class"], field["name"]): default(field, enums) for known in classes for field in known["fields"]}
defaults |= INTERNAL
position, objects = fold(sqlite3.connect(f"file:{sys.argv[1]}/log.sqlite?mode=ro", uri=True), defaults)
print(position, state_hash(objects, defaults))

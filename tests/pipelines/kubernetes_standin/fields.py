"""Server-side apply: an object as the set of its fields, each owned by those who have set it.

A path is spelled as in managedFields: `f:name` is a field, `k:{...}` an item of a list by its keys, `v:...` an item of
a set, and `.` the item itself. Atomic lists and maps are one field.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.pipelines.kubernetes_standin.kinds import Schema, resolve

Path = tuple[str, ...]
Leaves = dict[Path, Any]
Owners = dict[str, set[Path]]
DEFAULT_KEYS = {"protocol": "TCP"}  # keys of a list that may be left out
NOBODYS = {("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")}


def leaves(value: Any, schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every field of a value with what is in it."""
    schema = resolve(schema)
    how = schema.get("x-kubernetes-list-type")
    if isinstance(value, dict) and value and schema.get("x-kubernetes-map-type") != "atomic":
        for name, inner in value.items():
            below = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            yield from leaves(inner, below if isinstance(below, dict) else {}, (*path, f"f:{name}"))
    elif isinstance(value, list) and how == "map":
        for item in value:
            keys = {
                key: item.get(key, DEFAULT_KEYS.get(key))
                for key in schema["x-kubernetes-list-map-keys"]
            }
            inside = (*path, "k:" + json.dumps(keys, separators=(",", ":")))
            yield (*inside, "."), None
            yield from leaves(item, schema["items"], inside)
    elif isinstance(value, list) and how == "set":
        yield from (((*path, "v:" + json.dumps(item)), item) for item in value)
    elif value is not None:
        yield path, value


def build(found: Leaves) -> Any:
    """Return the value that has these fields."""
    tree: dict[str, Any] = {}
    for path, value in found.items():
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
            if "=" in node and node["="] == {}:  # an empty map that something is put into
                del node["="]
        if path[-1] == ".":
            continue
        if not (value == {} and node.get(path[-1])):
            node[path[-1]] = {"=": value}
    return _value(tree)


def _value(node: dict[str, Any]) -> Any:
    if "=" in node:
        return node["="]
    if any(step.startswith("f:") for step in node):
        return {step[2:]: _value(below) for step, below in node.items()}
    return [_value(below) for below in node.values()]


def apply(
    live: Leaves, wanted: Leaves, manager: str, owners: Owners, *, force: bool
) -> tuple[Leaves, Owners, dict[str, list[Path]]]:
    """Return fields and owners after `manager` has applied what it wants, and who else has set some otherwise."""
    set_now = {path for path in wanted if path not in NOBODYS}
    others = {name: paths for name, paths in owners.items() if name != manager}
    conflicts = {
        name: against
        for name, paths in others.items()
        if (against := sorted(path for path in paths & set_now if live.get(path) != wanted[path]))
    }
    if force:
        others = {name: paths - set(conflicts.get(name, ())) for name, paths in others.items()}
    kept = set().union(*others.values())
    gone = owners.get(manager, set()) - set_now - kept
    items = {path[:-1] for path in gone if path[-1] == "."}
    result = {
        path: value
        for path, value in live.items()
        if path not in gone and not any(path[:end] in items for end in range(len(path)))
    }
    for path in set_now:  # a field takes the place of what was below it, and of what it is below
        result = {
            old: value for old, value in result.items() if not _replaced(old, path, wanted[path])
        }
    result |= wanted
    return (
        result,
        {name: paths for name, paths in {**others, manager: set_now}.items() if paths},
        conflicts,
    )


def _replaced(old: Path, new: Path, value: Any) -> bool:
    return len(old) > len(new) and old[: len(new)] == new and new[-1] != "." and value != {}


def managed_fields(owners: Owners, api_version: str) -> list[dict[str, Any]]:
    """Return the owners as an object's metadata tells them."""
    entries = []
    for manager, paths in sorted(owners.items()):
        tree: dict[str, Any] = {}
        for path in sorted(paths):
            node = tree
            for step in path:
                node = node.setdefault(step, {})
        common = {"apiVersion": api_version, "operation": "Apply", "time": "2026-01-01T00:00:00Z"}
        entries.append({"manager": manager, **common, "fieldsType": "FieldsV1", "fieldsV1": tree})
    return entries

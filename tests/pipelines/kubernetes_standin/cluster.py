"""The objects of a cluster and what may be done to them, one request at a time."""

import threading
import uuid
from dataclasses import dataclass, field

from tests.pipelines.kubernetes_standin import controllers, fields
from tests.pipelines.kubernetes_standin.kinds import Kind, built_in, of_definition
from tests.pipelines.kubernetes_standin.rules import (
    Object,
    Refused,
    default,
    normal,
    refuse_change,
    validate,
)

Key = tuple[str, str, str]  # resource, namespace, name


@dataclass
class Kept:
    """An object, and who owns which of its fields."""

    object: Object
    owners: fields.Owners = field(default_factory=dict)


def conditions(found: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}


class Cluster:
    def __init__(self) -> None:
        self.kept: dict[Key, Kept] = {}
        self.events: list[tuple[int, str, Key, Object]] = []
        self.never_ready: set[str] = set()
        self.changed = threading.Condition(threading.RLock())
        self._version = 100

    @property
    def objects(self) -> list[Object]:
        return [kept.object for kept in self.kept.values()]

    def kinds(self) -> list[Kind]:
        """Return the kinds that are served now: a definition's only once it is established."""
        found = list(built_in())
        for one in self.objects:
            if (
                one["kind"] == "CustomResourceDefinition"
                and conditions(one).get("Established") == "True"
            ):
                found += of_definition(one)
        return found

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        if (key := (kind.resource, namespace, name)) not in self.kept:
            raise Refused(404, "NotFound", f'{kind.resource} "{name}" not found')
        return self.kept[key].object

    def list(self, kind: Kind, namespace: str) -> list[Object]:
        return [
            kept.object
            for (resource, where, _), kept in self.kept.items()
            if resource == kind.resource and namespace in ("", where)
        ]

    def create(
        self, kind: Kind, namespace: str, sent: Object, manager: str, *, dry_run: bool
    ) -> Object:
        if (kind.resource, namespace, name := sent["metadata"]["name"]) in self.kept:
            raise Refused(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')
        return self.apply(kind, namespace, sent, manager, force=False, dry_run=dry_run)

    def apply(
        self, kind: Kind, namespace: str, sent: Object, manager: str, *, force: bool, dry_run: bool
    ) -> Object:  # fmt: skip
        """Make the fields that were sent be there, and remove those that were sent before and are not any more."""
        validate(kind, sent)
        self._need_namespace(kind, namespace)
        sent, key = normal(sent), (kind.resource, namespace, sent["metadata"]["name"])
        kept = self.kept.get(key)
        live = dict(fields.leaves(kept.object, kind.schema)) if kept else {}
        wanted = dict(fields.leaves(sent, kind.schema))
        found, owners, conflicts = fields.apply(
            live, wanted, manager, kept.owners if kept else {}, force=force
        )
        if conflicts and not force:
            told = "; ".join(
                f'conflict with "{name}": {".".join(paths[0])}' for name, paths in conflicts.items()
            )
            raise Refused(409, "Conflict", f"Apply failed with {len(conflicts)} conflict: {told}")
        new = fields.build(found)
        metadata = new["metadata"]
        if kind.namespaced:
            metadata["namespace"] = namespace
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        metadata["managedFields"] = fields.managed_fields(owners, kind.api_version)
        new = default(new)
        if kept:
            refuse_change(kept.object, new)
            if new == kept.object:
                return new
        changed_spec = not kept or kept.object.get("spec") != new.get("spec")
        if "spec" in new:
            new["metadata"]["generation"] = metadata.get("generation", 0) + changed_spec
        return new if dry_run else self._store(key, new, owners)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        gone = self.get(kind, namespace, name)
        del self.kept[kind.resource, namespace, name]
        self._tell("DELETED", (kind.resource, namespace, name), gone)

    def settle(self) -> None:
        """Let the controllers do their work on everything."""
        with self.changed:
            for key, kept in list(self.kept.items()):
                waits = kept.object["metadata"]["name"] in self.never_ready
                new = (controllers.unsettled if waits else controllers.settle)(kept.object)
                if new != kept.object:
                    self._store(key, {**new, "metadata": dict(new["metadata"])}, kept.owners)

    def _need_namespace(self, kind: Kind, namespace: str) -> None:
        if kind.namespaced and ("namespaces", "", namespace) not in self.kept:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')

    def _store(self, key: Key, new: Object, owners: fields.Owners) -> Object:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        kind = "MODIFIED" if key in self.kept else "ADDED"
        self.kept[key] = Kept(new, owners)
        self._tell(kind, key, new)
        return new

    def _tell(self, event: str, key: Key, found: Object) -> None:
        self.events.append((self._version, event, key, found))
        self.changed.notify_all()

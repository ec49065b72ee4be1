"""What the server makes of an object and what it refuses: defaults, validation, and fields that never change."""

import base64
import copy
import re
from typing import Any

from tests.pipelines.kubernetes_standin.kinds import Kind

Object = dict[str, Any]
NAME = r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?"
# Fields below spec that are for ever, and those alone that may change.
FOR_EVER = {
    "Deployment": ("selector",),
    "Job": ("template", "selector", "completions"),
}
CHANGEABLE = {
    "StatefulSet": (
        "replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    ),
    "PersistentVolumeClaim": ("resources", "volumeName"),
}  # fmt: skip
TOP_FOR_EVER = {
    "RoleBinding": ("roleRef",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "Secret": ("type",),
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason, self.message = status, reason, message
        self.details: Object = {}


def invalid(found: Object, field: str, why: str) -> Refused:
    name = found["metadata"].get("name")
    refused = Refused(422, "Invalid", f'{found["kind"]} "{name}" is invalid: {field}: {why}')
    cause = {"reason": "FieldValueInvalid", "message": why, "field": field}
    refused.details = {"name": name, "kind": found["kind"], "causes": [cause]}
    return refused


def validate(kind: Kind, found: Object) -> None:
    """Refuse fields that the schema does not know, values that it does not allow, and selectors that find nothing."""
    for error in kind.complaints(found):
        where = "." + ".".join(map(str, error.absolute_path))
        if error.validator == "additionalProperties":
            unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))[0]
            what = f"({found['metadata'].get('namespace', '')}/{found['metadata']['name']}; {kind.api_version}, "
            problem = f"failed to create typed patch object {what}Kind={kind.name})"
            raise Refused(
                500, "", f"{problem}: {where.rstrip('.')}.{unknown}: field not declared in schema"
            )
        raise invalid(found, where[1:], error.message)
    if not re.fullmatch(NAME, found["metadata"].get("name", "")):
        raise invalid(
            found,
            "metadata.name",
            "a lowercase RFC 1123 subdomain must consist of lower case characters",
        )
    if kind.name in ("Deployment", "StatefulSet"):
        labels = found["spec"]["template"].get("metadata", {}).get("labels", {})
        if not found["spec"]["selector"].get("matchLabels", {}).items() <= labels.items():
            raise invalid(
                found,
                "spec.template.metadata.labels",
                "`selector` does not match template `labels`",
            )


def normal(found: Object) -> Object:
    """Return what is kept of an object that was sent: a Secret's stringData becomes data."""
    found = copy.deepcopy(found)
    if found["kind"] == "Secret":
        for key, text in (found.pop("stringData", None) or {}).items():
            found.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    return found


def default(found: Object) -> Object:
    """Return the object with what the server fills in."""
    found = copy.deepcopy(found)
    spec = found.get("spec", {})
    match found["kind"]:
        case "Namespace":
            found.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            found["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = found[
                "metadata"
            ]["name"]
            found.setdefault("status", {"phase": "Active"})
        case "Secret":
            found.setdefault("type", "Opaque")
        case "Deployment" | "StatefulSet":
            spec.setdefault("replicas", 1)
            strategy = "strategy" if found["kind"] == "Deployment" else "updateStrategy"
            spec.setdefault(strategy, {"type": "RollingUpdate"})
        case "Service":
            spec.setdefault("type", "ClusterIP")
            spec.setdefault("clusterIP", "10.0.0.10")
            for port in spec.get("ports", []):
                port.setdefault("protocol", "TCP")
                port.setdefault("targetPort", port["port"])
        case "Job":
            uid = {"batch.kubernetes.io/controller-uid": found["metadata"]["uid"]}
            spec.setdefault("selector", {"matchLabels": uid})
            spec["template"].setdefault("metadata", {}).setdefault("labels", {}).update(uid)
            spec.setdefault("completions", 1)
        case "PersistentVolumeClaim":
            spec.setdefault("volumeMode", "Filesystem")
            spec.setdefault("storageClassName", "standard")
    return found


def refuse_change(old: Object, new: Object) -> None:
    """Refuse to change what is for ever."""
    kind, before, after = old["kind"], old.get("spec", {}), new.get("spec", {})
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if kind in CHANGEABLE and (forbidden := changed - set(CHANGEABLE[kind])):
        raise invalid(
            new, "spec", f"Forbidden: updates to {', '.join(sorted(forbidden))} are forbidden"
        )
    for key in FOR_EVER.get(kind, ()):
        if key in changed:
            raise invalid(new, f"spec.{key}", "Invalid value: field is immutable")
    for key in TOP_FOR_EVER.get(kind, ()):
        if old.get(key) != new.get(key):
            raise invalid(new, key, "Invalid value: field is immutable")
    if old.get("immutable") and (old.get("data") != new.get("data") or not new.get("immutable")):
        raise invalid(new, "data", "Forbidden: field is immutable when `immutable` is set")

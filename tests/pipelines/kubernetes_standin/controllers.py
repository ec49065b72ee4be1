"""What a cluster's controllers do to objects some time after they were written: everything gets ready."""

from typing import Any

Object = dict[str, Any]


def settle(found: Object) -> Object:
    """Return the object as its controller leaves it."""
    metadata, spec = found["metadata"], found.get("spec", {})
    replicas, generation = spec.get("replicas"), metadata.get("generation")
    counts = {"observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
              "readyReplicas": replicas, "availableReplicas": replicas}  # fmt: skip
    match found["kind"]:
        case "Deployment":
            annotations = {
                **metadata.get("annotations", {}),
                "deployment.kubernetes.io/revision": "1",
            }
            return {**found, "metadata": {**metadata, "annotations": annotations},
                    "status": {**counts, "conditions": _true("Available", "Progressing")}}  # fmt: skip
        case "StatefulSet":
            return {**found, "status": {**counts, "currentRevision": "1", "updateRevision": "1"}}
        case "CustomResourceDefinition":
            names = spec["names"]
            return {**found, "status": {"conditions": _true("NamesAccepted", "Established"), "acceptedNames": names,
                                        "storedVersions": []}}  # fmt: skip
        case "PersistentVolumeClaim":
            volume = {**spec, "volumeName": f"pvc-{metadata['uid']}"}
            return {**found, "spec": volume, "status": {"phase": "Bound"}}
        case "ResourceQuota":
            return {**found, "status": {"hard": spec.get("hard", {}), "used": {}}}
        case "Job":
            return {**found, "status": {"succeeded": 1, "conditions": _true("Complete")}}
    return found


def unsettled(found: Object) -> Object:
    """Return the object as its controller leaves it while the pods do not start."""
    if found["kind"] not in ("Deployment", "StatefulSet"):
        return settle(found)
    generation, replicas = found["metadata"]["generation"], found["spec"]["replicas"]
    return {
        **found,
        "status": {"observedGeneration": generation, "replicas": replicas, "updatedReplicas": 0},
    }


def _true(*conditions: str) -> list[dict[str, str]]:
    return [
        {"type": name, "status": "True", "reason": "AsTold", "message": ""} for name in conditions
    ]

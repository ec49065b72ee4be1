"""The kinds that the stand-in serves: some of Kubernetes' own, by its own schemas, and those of applied CRDs."""

import functools
import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jsonschema

Schema = dict[str, Any]
KUBERNETES = "1.33"
QUANTITY = r"^[+-]?\d+(\.\d*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$"
BUILT_IN = """
    v1 Namespace Secret ConfigMap Service ServiceAccount PersistentVolumeClaim ResourceQuota
    apps/v1 Deployment StatefulSet
    batch/v1 Job
    networking.k8s.io/v1 NetworkPolicy
    rbac.authorization.k8s.io/v1 Role RoleBinding ClusterRole ClusterRoleBinding
    scheduling.k8s.io/v1 PriorityClass
    apiextensions.k8s.io/v1 CustomResourceDefinition
"""
CLUSTER_WIDE = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
    "CustomResourceDefinition",
}
SHORT = {"Namespace": ["ns"], "CustomResourceDefinition": ["crd"]}
VERBS = ["create", "delete", "get", "list", "patch", "watch"]


@dataclass(frozen=True)
class Kind:
    """A kind in one version; `schema` is its JSON schema, strict about fields that it does not know."""

    api_version: str
    name: str
    plural: str
    namespaced: bool
    schema: Schema = field(repr=False, compare=False)

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """Return the name that messages and rights give it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def gvk(self) -> dict[str, str]:
        return {
            "group": self.group,
            "version": self.api_version.rpartition("/")[2],
            "kind": self.name,
        }

    def complaints(self, found: dict[str, Any]) -> list[jsonschema.ValidationError]:
        return list(_validator(self).iter_errors(found))


@functools.cache
def _validator(kind: Kind) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**kind.schema, "$defs": definitions()})


@functools.cache
def definitions() -> dict[str, Schema]:
    """Return Kubernetes' own schemas, with what they leave to the server: what a quantity looks like."""
    path = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict/_definitions.json"
    found: dict[str, Schema] = json.loads(
        files("kubernetes_validate").joinpath(path).read_text("utf-8")
    )["$defs"]
    found["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {
        "type": ["string", "number"],
        "pattern": QUANTITY,
    }
    return found


@functools.cache
def built_in() -> tuple[Kind, ...]:
    names = {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions().items()
        for gvk in schema.get("x-kubernetes-group-version-kind", [])
    }
    kinds = []
    for line in BUILT_IN.split("\n"):
        for kind in line.split()[1:]:
            api_version = line.split()[0]
            group, _, version = api_version.rpartition("/")
            plural = re.sub("sss$", "sses", kind.lower() + "s").replace("policys", "policies")
            schema = {"$ref": f"#/$defs/{names[group, version, kind]}"}
            kinds.append(Kind(api_version, kind, plural, kind not in CLUSTER_WIDE, schema))
    return tuple(kinds)


def of_definition(crd: dict[str, Any]) -> list[Kind]:
    """Return the kinds of a CustomResourceDefinition, one for each version that is served."""
    spec, names = crd["spec"], crd["spec"]["names"]
    return [
        Kind(f"{spec['group']}/{version['name']}", names["kind"], names["plural"], spec["scope"] == "Namespaced",
             _strict(version["schema"]["openAPIV3Schema"]))
        for version in spec["versions"] if version["served"]
    ]  # fmt: skip


def _strict(schema: Schema) -> Schema:
    metadata = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    common = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": metadata,
        "status": {},
    }
    strict = {**schema, "properties": {**common, **schema.get("properties", {})}}
    if not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def resolve(schema: Schema) -> Schema:
    """Follow a reference."""
    return definitions()[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def discovery(kinds: list[Kind], *, core: bool) -> dict[str, Any]:
    """Return what /api or /apis says: the groups, their versions and resources, in one answer."""
    groups: dict[str, dict[str, list[Kind]]] = {}
    for kind in kinds:
        if core == (not kind.group):
            groups.setdefault(kind.group, {}).setdefault(kind.gvk()["version"], []).append(kind)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "freshness": "Current",
                        "resources": [_resource(kind) for kind in of_version],
                    }
                    for version, of_version in versions.items()
                ],
            }
            for group, versions in groups.items()
        ],
    }


def _resource(kind: Kind) -> dict[str, Any]:
    return {
        "resource": kind.plural,
        "responseKind": kind.gvk(),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.name.lower(),
        "shortNames": SHORT.get(kind.name, []),
        "verbs": VERBS,
    }


def openapi(kinds: list[Kind], api_version: str) -> dict[str, Any]:
    """Return as much of a version's OpenAPI as tells a client that the server validates fields by itself."""
    parameters = [
        {
            "name": "fieldValidation",
            "in": "query",
            "schema": {"type": "string", "uniqueItems": True},
        }
    ]
    paths = {
        f"/{kind.plural}/{{name}}": {
            "patch": {
                "parameters": parameters,
                "responses": {},
                "x-kubernetes-group-version-kind": kind.gvk(),
            }
        }
        for kind in kinds
        if kind.api_version == api_version
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"v{KUBERNETES}.0"},
        "paths": paths,
    }

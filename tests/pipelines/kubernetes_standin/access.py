"""Who may do what, by the Roles and bindings that are there: the API server's rules for RBAC."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Request:
    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}" {where}'


def rules_of(account: str, namespace: str, objects: Iterable[Object]) -> Iterator[Object]:
    """Yield the rules that an account, `namespace:name`, has in a namespace."""
    found = list(objects)
    for binding in found:
        wide = binding["kind"] == "ClusterRoleBinding"
        if not wide and (
            binding["kind"] != "RoleBinding" or binding["metadata"]["namespace"] != namespace
        ):
            continue
        if account in {
            f"{subject.get('namespace')}:{subject['name']}"
            for subject in binding.get("subjects", [])
        }:
            yield from referenced(binding, found)


def referenced(binding: Object, objects: Iterable[Object]) -> list[Object]:
    """Return the rules of the role that a binding names."""
    reference, namespace = binding["roleRef"], binding["metadata"].get("namespace")
    for role in objects:
        if (role["kind"], role["metadata"]["name"]) == (reference["kind"], reference["name"]) and (
            role["kind"] == "ClusterRole" or role["metadata"].get("namespace") == namespace
        ):
            return list(role.get("rules") or [])
    return []


def allowed(request: Request, rules: Iterable[Object]) -> bool:
    """Tell whether one of the rules allows a request."""
    return any(
        _has(rule["verbs"], request.verb)
        and _has(rule.get("apiGroups", []), request.group)
        and _has(rule.get("resources", []), request.resource)
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
        for rule in rules
    )


def _has(values: list[str], wanted: str) -> bool:
    return "*" in values or wanted in values


def escalates(wanted: list[Object], having: list[Object]) -> bool:
    """Tell whether rules allow anything that the one who writes them is not allowed."""
    return not all(
        allowed(Request(verb, group, resource, name=name), having)
        for rule in wanted
        for verb in rule["verbs"]
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for name in rule.get("resourceNames", [""])
    )

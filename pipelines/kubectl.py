"""Kubernetes through kubectl, which knows every way to log in. Secret values go to its input, never its arguments."""

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from components.shared.errors import ClusterError, ToolError

ROLLOUT_SECONDS = 600
ESTABLISHED_SECONDS = 60
CALL_SECONDS = 120


class Kubectl:
    """kubectl for one context and namespace."""

    def __init__(self, namespace: str, context: str = "") -> None:
        self.namespace = namespace
        self._base = ["kubectl", *(["--context", context] if context else [])]
        if not shutil.which("kubectl"):
            raise ToolError("kubectl is not installed", "install it, or deploy with --no-manifests")

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """Run kubectl and return its output; raise ClusterError with its last line."""
        try:
            result = subprocess.run(
                [*self._base, *arguments], input=stdin, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(f"kubectl {arguments[0]}: no end after {seconds:.0f} s", "is the cluster up?") from None
        if result.returncode:
            line = (result.stderr.strip() or "no reason given").splitlines()[-1]
            raise ClusterError(f"kubectl {arguments[0]}: {line}", "see `kubectl config current-context`")
        return result.stdout

    def apply(self, objects: Sequence[dict[str, Any]], *, dry_run: bool = False) -> list[str]:
        """Apply objects server-side, definitions of new kinds first; return one line for each that changed."""
        kinds = [found for found in objects if found["kind"] in ("CustomResourceDefinition", "Namespace")]
        lines = self._apply(kinds, dry_run=dry_run)
        crds = [f"crd/{found['metadata']['name']}" for found in kinds if found["kind"] == "CustomResourceDefinition"]
        if crds and not dry_run:
            self.run("wait", "--for=condition=established", f"--timeout={ESTABLISHED_SECONDS}s", *crds)
        return lines + self._apply([found for found in objects if found not in kinds], dry_run=dry_run)

    def _apply(self, objects: Sequence[dict[str, Any]], *, dry_run: bool) -> list[str]:
        if not objects:
            return []
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        before = self._versions(items)
        flags = ["--server-side", "--field-manager=arxtune", "--force-conflicts"]
        self.run("apply", *flags, *(["--dry-run=server"] if dry_run else []), "-f", "-", stdin=items)
        if dry_run:
            names = (f"{found['kind'].lower()} {found['metadata']['name']}" for found in objects)
            return [f"{name}: would be created" for name in names if name not in before]
        after = self._versions(items)
        return [
            f"{name}: {'changed' if name in before else 'created'}" for name in after if before.get(name) != after[name]
        ]

    def _versions(self, items: str) -> dict[str, str]:
        """Return the resourceVersion of every object that is there."""
        text = self.run("get", "-f", "-", "--ignore-not-found", "-o", "json", stdin=items)
        found: dict[str, Any] = json.loads(text) if text.strip() else {"kind": "List", "items": []}
        there: list[dict[str, Any]] = found["items"] if found["kind"] == "List" else [found]
        return {f"{one['kind'].lower()} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in there}

    def wait(self, objects: Sequence[dict[str, Any]]) -> None:
        """Wait until all deployments and stateful sets run."""
        for found in objects:
            if found["kind"] in ("Deployment", "StatefulSet"):
                name = f"{found['kind'].lower()}/{found['metadata']['name']}"
                namespace = found["metadata"].get("namespace", self.namespace)
                self.run(
                    "rollout", "status", name, "-n", namespace, f"--timeout={ROLLOUT_SECONDS}s",
                    seconds=ROLLOUT_SECONDS + CALL_SECONDS,
                )  # fmt: skip

    def secret_keys(self, name: str) -> set[str] | None:
        """Return the keys of a Secret, or None when there is none; values are not kept."""
        text = self.run("get", "secret", name, "-n", self.namespace, "--ignore-not-found", "-o", "json")
        return set(json.loads(text).get("data") or {}) if text.strip() else None

    def create_secret(self, name: str, values: dict[str, str]) -> None:
        """Create a Secret; one that is there stays as it is."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": values,
        }
        self.run("create", "-f", "-", stdin=json.dumps(secret))

    def secret_values(self, name: str) -> dict[str, str]:
        """Return the values of a Secret, to make another one from."""
        data = json.loads(self.run("get", "secret", name, "-n", self.namespace, "-o", "json"))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

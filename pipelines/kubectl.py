"""Kubernetes through kubectl, which knows every way to log in. Secret values go to its input, never its arguments."""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from components.shared.errors import ClusterError, ToolError
from components.shared.progress import say
from pipelines import kubeflow

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name
ROLLOUT_SECONDS = 600
ESTABLISHED_SECONDS = 60
CALL_SECONDS = 120
KINDS = ("Namespace", "CustomResourceDefinition")  # that others need before they can be
NOISE = re.compile(r"[EWI]\d{4} |Warning: ")  # how lines begin that say nothing about the end
PASSES = re.compile(
    r"\((TooManyRequests|InternalError|ServiceUnavailable|ServerTimeout|Timeout)\)"
    r"|unable to handle the request|an error on the server|too many requests"
    r"|connection re(set|fused)|was refused|EOF|i/o timeout|TLS handshake timeout|network is unreachable"
)
STATUS = {"(Forbidden)": 403, "logged in": 401, "provide credentials": 401, "(AlreadyExists)": 409}
FIXES = {
    401: "log in again: the token of this kubeconfig is not valid",
    403: "let an account with more rights do it, or deploy with --no-manifests",
}


class Kubectl:
    """kubectl for one context and namespace; what passes is waited out, what does not is one line.

    A dry run changes nothing: the server says what it would do.
    """

    def __init__(self, namespace: str, context: str = "", *, dry_run: bool = False) -> None:
        self.namespace, self.dry_run = namespace, dry_run
        self._coming: set[str] = set()  # namespaces and kinds that a dry run has not made
        self._base = ["kubectl", *(["--context", context] if context else [])]
        if not shutil.which("kubectl"):
            raise ToolError("kubectl is not installed", "install it, or deploy with --no-manifests")

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """Run kubectl, again while what it meets passes, and return its output; raise ClusterError in one line."""
        for attempt in range(kubeflow.TRIES):
            try:
                result = subprocess.run(
                    [*self._base, *arguments],
                    input=stdin,
                    capture_output=True,
                    text=True,
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise ClusterError(
                    f"kubectl {arguments[0]}: no end after {seconds:.0f} s", "is it up?"
                ) from None
            if not result.returncode:
                return result.stdout
            problem = _problem(result.stderr)
            if not PASSES.search(problem):
                break
            if attempt + 1 < kubeflow.TRIES:
                time.sleep(kubeflow.PAUSE_SECONDS * 2**attempt)
        status = next((status for text, status in STATUS.items() if text in problem), 0)
        fix = FIXES.get(status, "see `kubectl config current-context`; is it up?")
        raise ClusterError(f"kubectl {arguments[0]}: {problem}", fix, status)

    def apply(self, objects: Sequence[Object]) -> list[str]:
        """Apply objects server-side, what others need first; return a line for each that changed, or would."""
        kinds = [found for found in objects if found["kind"] in KINDS]
        jobs = [found for found in objects if found["kind"] == "Job"]
        lines = self._apply(kinds)
        crds = [
            f"crd/{found['metadata']['name']}"
            for found in kinds
            if found["kind"] == "CustomResourceDefinition"
        ]
        if crds and not self.dry_run:
            self.run(
                "wait", "--for=condition=established", f"--timeout={ESTABLISHED_SECONDS}s", *crds
            )
        lines += self._apply(
            [found for found in objects if found not in kinds and found not in jobs]
        )
        return lines + [line for job in jobs for line in self._apply_job(job)]

    def _apply(self, objects: Sequence[Object]) -> list[str]:
        would = "would be " if self.dry_run else ""
        waiting = [
            one for one in objects if {one["kind"], one["metadata"].get("namespace")} & self._coming
        ]
        lines = [
            f"{one['kind'].lower()} {one['metadata']['name']}: would be created" for one in waiting
        ]
        # One document each: of a List, kubectl would fetch the server's whole OpenAPI to look at it.
        items = "\n---\n".join(json.dumps(one) for one in objects if one not in waiting)
        if not items:
            return lines
        before = self._contents("get", "-f", "-", "--ignore-not-found", items=items)
        flags = ["--server-side", "--field-manager=arxtune", "--force-conflicts"]
        after = self._contents(
            "apply", *flags, *(["--dry-run=server"] if would else []), "-f", "-", items=items
        )
        if would:
            created = (one for one in objects if _key(one) not in before)
            self._coming |= {one.get("spec", {}).get("names", {}).get("kind") or one["metadata"]["name"]
                             for one in created if one["kind"] in KINDS}  # fmt: skip
        return lines + [
            f"{key[0].lower()} {key[2]}: {would}{'changed' if key in before else 'created'}"
            for key, content in after.items()
            if before.get(key) != content
        ]

    def _apply_job(self, job: Object) -> list[str]:
        """Apply a Job; the template of its pods is for ever, so one that differs gives way to a new one."""
        try:
            return self._apply([job])
        except ClusterError as error:
            if "field is immutable" not in error.problem:
                raise
        name = job["metadata"]["name"]
        if self.dry_run:
            return [f"job {name}: would be made anew"]
        self.run(
            "delete",
            "job",
            name,
            "-n",
            job["metadata"].get("namespace", self.namespace),
            "--ignore-not-found",
        )
        self._apply([job])
        return [f"job {name}: made anew"]

    def _contents(self, *arguments: str, items: str) -> dict[Key, Object]:
        """Return what kubectl prints of objects, without what the cluster itself keeps in them."""
        text = self.run(*arguments, "-o", "json", stdin=items)
        found: Object = json.loads(text) if text.strip() else {"kind": "List", "items": []}
        return {
            _key(one): {
                **{key: value for key, value in one.items() if key != "status"},
                "metadata": {key: one["metadata"].get(key) for key in ("labels", "annotations")},
            }
            for one in (found["items"] if found["kind"] == "List" else [found])
        }

    def wait(self, objects: Sequence[Object]) -> None:
        """Wait until all deployments and stateful sets run."""
        for found in objects:
            if found["kind"] in ("Deployment", "StatefulSet"):
                name = f"{found['kind'].lower()}/{found['metadata']['name']}"
                where = found["metadata"].get("namespace", self.namespace)
                say("deploy", f"waiting for {name}")
                try:
                    self.run(
                        "rollout", "status", name, "-n", where, f"--timeout={ROLLOUT_SECONDS}s",
                        seconds=ROLLOUT_SECONDS + CALL_SECONDS,
                    )  # fmt: skip
                except ClusterError as error:
                    fix = f"kubectl describe {name} -n {where}; the same deploy goes on from here"
                    raise ClusterError(
                        f"{name} does not run: {error.problem}", fix, error.status
                    ) from None

    def has_secret(self, name: str) -> bool:
        """Tell whether there is a Secret."""
        return bool(
            self.run(
                "get", "secret", name, "-n", self.namespace, "--ignore-not-found", "-o", "name"
            ).strip()
        )

    def create_secret(self, name: str, values: dict[str, str]) -> None:
        """Create a Secret; one that is there stays as it is."""
        if self.dry_run:
            return
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": values,
        }
        try:
            self.run("create", "-f", "-", stdin=json.dumps(secret))
        except ClusterError as error:
            if (
                error.status != 409
            ):  # there already: by a try whose answer was lost, or another deploy
                raise

    def secret_values(self, name: str) -> dict[str, str]:
        """Return the values of a Secret, to make another one from; none of one that a dry run has not made."""
        text = self.run(
            "get", "secret", name, "-n", self.namespace, "--ignore-not-found", "-o", "json"
        )
        data = json.loads(text)["data"] if text.strip() else {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _problem(stderr: str) -> str:
    """Return the first thing that kubectl complains of, without the middle of what is endless."""
    lines = [line for line in stderr.splitlines() if line.strip() and not NOISE.match(line)] or [
        "no reason given"
    ]
    text = " ".join(lines[:2]) if lines[0].rstrip().endswith(":") else lines[0]
    return text if len(text) < 500 else f"{text[:350]} ... {text[-100:]}"


def _key(found: Object) -> Key:
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]

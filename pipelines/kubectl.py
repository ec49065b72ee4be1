"""kubectl, which knows every way to log in; secret values go to its input alone."""

import shutil
import subprocess

from components.shared.errors import ClusterError, ToolError


class Kubectl:
    """kubectl for one context and namespace."""

    def __init__(self, namespace: str, context: str = "") -> None:
        self.namespace = namespace
        self._base = ["kubectl", *(["--context", context] if context else []), "-n", namespace]
        if not shutil.which("kubectl"):
            raise ToolError("kubectl is not installed", "install it, or deploy with --no-manifests")

    def show(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> int:
        """Run kubectl with its own words on the terminal; raise ClusterError for other statuses."""
        status = subprocess.run([*self._base, *arguments], check=False).returncode
        if status not in fine:
            raise ClusterError(
                f"kubectl {arguments[0]} ended with status {status}, see above",
                "the same command goes on from here",
            )
        return status

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl prints; raise ClusterError with its first line of complaint."""
        result = subprocess.run(
            [*self._base, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        if result.returncode:
            lines = [*result.stderr.strip().splitlines(), "no reason given"]
            fix = "see `kubectl config current-context`, or --context"
            raise ClusterError(f"kubectl {arguments[0]}: {lines[0]}", fix)
        return result.stdout

    def may(self, verb: str, resource: str) -> bool:
        """Tell whether this account may do it here."""
        command = [*self._base, "auth", "can-i", verb, resource, "--quiet"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

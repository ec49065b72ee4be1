"""The Kubernetes API as a stage's pod sees it: who it is, and calls with retries."""

import json
import os
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ToolError
from components.shared.http import FetchError, Outcome, retry

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
MAX_ATTEMPTS = 10  # of one call: over four minutes, in which a control plane comes back
REQUEST_S = 60.0  # for one answer
# 401: the token is being rotated, and the client soon reads the new one
RETRYABLE = (401, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Cluster:
    """Where this pod is; `grant` says what gives it the rights that it may lack."""

    client: Any  # the ApiClient of the package `kubernetes`
    namespace: str
    pod: str
    grant: str = ""

    def call(
        self, what: str, method: Callable[..., Any], *, absent: Collection[int] = (), **more: Any
    ) -> Any:
        """Return the answer, or None for a status in `absent`; raise ClusterError at the end."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        def attempt() -> Any:
            try:
                return method(namespace=self.namespace, _request_timeout=REQUEST_S, **more)
            except ApiException as error:
                status = error.status
                if status in absent:
                    return None
                outcome = Outcome.RETRY if status in RETRYABLE else Outcome.STOP
                reason = f"HTTP {status}: {_message(error)}"
                raise FetchError(reason, outcome, http_status=status) from None
            except HTTPError as error:
                reason = type(getattr(error, "reason", error)).__name__
                raise FetchError(reason, Outcome.RETRY) from None

        try:
            return retry(attempt, tries=MAX_ATTEMPTS)
        except FetchError as error:
            raise ClusterError(f"{what}: {error}", self._fix(error), error.http_status) from None

    def _fix(self, error: FetchError) -> str:
        if error.outcome is not Outcome.STOP:
            return "is the API server up?"
        forbidden = error.http_status == 403 and " cannot " in error.reason  # no quota or webhook
        return self.grant if forbidden else ""


def in_cluster(setting: str, instead: str, grant: str) -> Cluster:
    """Return the cluster of this pod; raise ToolError outside of one, naming the setting."""
    from kubernetes import client, config

    try:
        config.load_incluster_config()
    except config.ConfigException as error:
        raise ToolError(f"{setting}: {error}", f"run it in a pod, or {instead}") from None
    pod = os.environ.get("KFP_POD_NAME") or socket.gethostname()
    return Cluster(client.ApiClient(), NAMESPACE.read_text("utf-8").strip(), pod, grant)


def _message(error: Any) -> str:
    """Return the words of a refusal: the API's own, else HTTP's."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)

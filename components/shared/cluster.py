"""The Kubernetes API as a stage's pod sees it: who it is, and calls with retries."""

import json
import os
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ToolError

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CALLS = 10  # tries of one call: over four minutes, in which a control plane comes back
PAUSE_S = 1.0  # after the first of them; each next pause is twice as long, up to LONGEST_S
LONGEST_S = 60.0
REQUEST_S = 60.0  # for one answer
PASSING = (
    401,
    429,
    500,
    502,
    503,
    504,
)  # 401: the token is being rotated, and the client soon reads the new one


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

        problem, status = "", 0
        for number in range(CALLS):
            if number:
                time.sleep(min(PAUSE_S * 2 ** (number - 1), LONGEST_S))
            try:
                return method(namespace=self.namespace, _request_timeout=REQUEST_S, **more)
            except ApiException as error:
                if error.status in absent:
                    return None
                problem, status = f"{what}: HTTP {error.status}: {_message(error)}", error.status
                if status not in PASSING:
                    forbidden = (
                        status == 403 and " cannot " in problem
                    )  # else a quota or a webhook says no
                    raise ClusterError(problem, self.grant if forbidden else "", status) from None
            except HTTPError as error:
                problem, status = f"{what}: {type(getattr(error, 'reason', error)).__name__}", 0
        raise ClusterError(problem, "is the API server up?", status)


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

"""Kubeflow Pipelines through its public API (`kfp_server_api`), with one-line errors."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say

Answer = Any  # the generated client has no types
MINIMUM = (2, 16)  # the first with optional secrets, securityContext and orphaned runs
TIMEOUT = (10, 60)  # seconds to connect, to answer
RETRY_PAUSE = 0.5  # seconds before the second try, then twice as long each time
FIXES = {
    401: "log in again, or name a valid token by KF_PIPELINES_SA_TOKEN_PATH",
    403: "ask for the role arxtune-deployer in this namespace",
    404: "is --host the address of Kubeflow Pipelines?",
}


class Kubeflow:
    """Kubeflow Pipelines at `host`, else beside this pod, else through the kubeconfig's cluster.

    Raises ClusterError where it does not answer, or is older than our YAML needs.
    """

    def __init__(self, host: str = "", namespace: str = "kubeflow", context: str = "") -> None:
        import kfp_server_api as api

        configuration = _configuration(host, namespace, context)
        self.host = str(configuration.host)
        client = api.ApiClient(configuration, cookie=os.environ.get("KF_PIPELINES_COOKIES"))
        self.pipelines, self.uploads = (
            api.PipelineServiceApi(client),
            api.PipelineUploadServiceApi(client),
        )
        self.runs, self.schedules = api.RunServiceApi(client), api.RecurringRunServiceApi(client)
        self.experiments = api.ExperimentServiceApi(client)
        health, *_ = self.ask(
            client.call_api,
            "/apis/v2beta1/healthz",
            "GET",
            response_type="object",
            auth_settings=["Bearer"],
        )
        # The dashboard, which many a --host is, passes the answer on under names of its own.
        self.version = str(health.get("tag_name") or health.get("apiServerTagName") or "unknown")
        self.multi_user = bool(health.get("multi_user"))
        # A single-user server refuses requests that name a namespace.
        self.space = {"namespace": namespace} if self.multi_user else {}
        self._check_version()

    def _check_version(self) -> None:
        """Refuse a server that would not run our YAML; one that tells no version is let through."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version)
        needed = f"{MINIMUM[0]}.{MINIMUM[1]} or newer is needed"
        if not found:
            say("kubeflow", f"{self.host} does not tell its version; {needed}")
        elif (int(found[1]), int(found[2])) < MINIMUM:
            raise ClusterError(
                f"Kubeflow Pipelines at {self.host} is {self.version}: {needed}",
                "upgrade it; Kubeflow 26.03 brings 2.16.1",
            )

    def ask(self, call: Callable[..., Answer], *arguments: object, **options: object) -> Answer:
        """Make a call of the API; raise ClusterError, in one line, when it fails."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        what = call.__name__.rpartition("_service_")[2].replace("_", " ")
        problem = f"Kubeflow Pipelines at {self.host}: cannot {what}"
        try:
            return call(*arguments, **options, _request_timeout=TIMEOUT)
        except ApiException as error:
            status = error.status or 0
            reason = f"HTTP {status} {_message(error)}"
            raise ClusterError(f"{problem}: {reason}", FIXES.get(status, ""), status) from None
        except (HTTPError, ConnectionError) as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            fix = "is it up? from outside: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
            raise ClusterError(f"{problem}: {cause}", fix) from None

    def all(
        self, field: str, call: Callable[..., Answer], *arguments: object, **more: object
    ) -> Iterator[Answer]:
        """Yield the items of all pages of a list."""
        token = ""
        while True:
            page = self.ask(call, *arguments, **more, page_token=token, page_size=50)
            yield from getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return


def named(name: str) -> str:
    """Return the filter of a list for one display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _configuration(host: str, namespace: str, context: str) -> Answer:
    """Return address, credentials and retries, as the generated client takes them."""
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration()
    configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE")
    # What asks or removes is repeated; what creates is not: the next deploy looks for it first.
    configuration.retries = urllib3.Retry(
        total=5, backoff_factor=RETRY_PAUSE, allowed_methods=["GET", "DELETE"],
        status_forcelist=[408, 429, 500, 502, 503, 504], raise_on_status=False,
    )  # fmt: skip
    default = "/var/run/secrets/kubeflow/pipelines/token"  # where a pod finds its own
    token = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or default)
    if host:
        configuration.host = (host if "://" in host else f"https://{host}").rstrip("/")
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        configuration.host = f"http://ml-pipeline.{namespace}.svc.cluster.local:8888"
    else:
        _through_kubeconfig(configuration, namespace, context)
        return configuration
    if token.is_file():
        configuration.api_key["authorization"] = token.read_text("utf-8").strip()
        configuration.api_key_prefix["authorization"] = "Bearer"
    elif "KF_PIPELINES_SA_TOKEN_PATH" in os.environ:
        raise ConfigError(f"KF_PIPELINES_SA_TOKEN_PATH={token}: there is no such file")
    return configuration


def _through_kubeconfig(configuration: Answer, namespace: str, context: str) -> None:
    """Go through the Kubernetes API's proxy, which the kubeconfig logs in to."""
    from kubernetes import config

    try:
        config.load_kube_config(client_configuration=configuration, context=context or None)
    except config.ConfigException as error:
        problem = f"no --host is given, and no cluster is configured here: {error}"
        raise ConfigError(problem, "--host URL, or a cluster by --context NAME") from None
    proxy = f"/api/v1/namespaces/{namespace}/services/ml-pipeline:http/proxy"
    configuration.host = address = configuration.host.rstrip("/") + proxy
    renew = configuration.refresh_api_key_hook

    def renew_token(configuration: Answer) -> None:
        renew(configuration)  # points back at the API itself
        configuration.host = address

    configuration.refresh_api_key_hook = renew and renew_token


def _message(error: Answer) -> str:
    try:
        answer = json.loads(error.body)
        return str(answer.get("error_message") or answer.get("message"))[:200]
    except (ValueError, TypeError, AttributeError):
        return str(error.reason or "")

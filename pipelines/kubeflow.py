"""Kubeflow Pipelines through its public API (`kfp_server_api`), with one-line errors."""

import argparse
import functools
import json
import os
import re
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say
from pipelines.manifests import Kubectl

Answer = Any  # the generated client has no types
SERVICE = "ml-pipeline:http/proxy"
MINIMUM = (2, 16)  # the first with optional secrets, securityContext and orphaned runs
TIMEOUT = (2, 60)  # seconds to connect, to answer
RETRY_PAUSE = 0.5  # seconds before the second try, then twice as long each time
FIXES = {
    401: "log in again, or name a valid token by KF_PIPELINES_SA_TOKEN_PATH",
    403: "ask for the role arxtune-deployer in this namespace",
    404: "is --host the address of Kubeflow Pipelines?",
}


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the cluster is."""
    host = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    parser.add_argument("--host", default=host, help="URL of the KFP API")
    parser.add_argument("--namespace", default="kubeflow", help="(default: kubeflow)")
    parser.add_argument("--context", default="", help="of the kubeconfig (default: current)")


class Kubeflow:
    """Kubeflow Pipelines at `where.host`, else in the cluster that kubectl would take.

    Raises ClusterError where it does not answer, or is older than our YAML needs.
    """

    def __init__(self, where: Any) -> None:
        import kfp_server_api as api

        configuration = _configuration(where)
        self.host = str(configuration.host)
        client = api.ApiClient(configuration, cookie=os.environ.get("KF_PIPELINES_COOKIES"))
        healthz = functools.partial(client.call_api, "/apis/v2beta1/healthz", "GET")
        self._calls: dict[str, Any] = {"reach it": healthz}
        for service in (
            *(api.PipelineServiceApi(client), api.PipelineUploadServiceApi(client)),
            *(api.RunServiceApi(client), api.RecurringRunServiceApi(client)),
            api.ExperimentServiceApi(client),
        ):
            for name in dir(service):
                self._calls[name.rpartition("_service_")[2]] = getattr(service, name)
        health, *_ = self.ask("reach it", response_type="object", auth_settings=["Bearer"])
        # The dashboard, which many a --host is, passes the answer on under names of its own.
        self.version = str(health.get("tag_name") or health.get("apiServerTagName") or "unknown")
        self.multi_user = bool(health.get("multi_user"))
        # A single-user server refuses requests that name a namespace.
        self.space = {"namespace": where.namespace} if self.multi_user else {}
        self.dry_run = self.changed = False
        needed = f"{MINIMUM[0]}.{MINIMUM[1]} or newer is needed"
        if not (found := re.match(r"v?(\d+)\.(\d+)", self.version)):
            say("kubeflow", f"{self.host} does not tell its version; {needed}")
        elif (int(found[1]), int(found[2])) < MINIMUM:
            problem = f"Kubeflow Pipelines at {self.host} is {self.version}: {needed}"
            raise ClusterError(problem, "upgrade it; Kubeflow 26.03 brings 2.16.1")

    def ask(self, name: str, /, *arguments: object, **options: object) -> Answer:
        """Make a call of the API, such as "list_runs"; raise ClusterError when it fails."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        problem = f"Kubeflow Pipelines at {self.host}: cannot {name.replace('_', ' ')}"
        try:
            return self._calls[name](*arguments, **options, _request_timeout=TIMEOUT)
        except ApiException as error:
            status = error.status or 0
            told = re.search(r'"(?:error_)?message": ?"([^"]+)', str(error.body))
            reason = f"HTTP {status} {(told and told[1][:200]) or error.reason}"
            raise ClusterError(f"{problem}: {reason}", FIXES.get(status, ""), status) from None
        except (HTTPError, ConnectionError) as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            fix = "is it up? from outside: kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
            raise ClusterError(f"{problem}: {cause}", fix) from None

    def change(self, what: str, name: str, /, *arguments: object, **options: object) -> Answer:
        """Say what is done, and do it by a call of the API; return None in a dry run."""
        self.changed = True
        print(f"would {what}" if self.dry_run else what)
        return None if self.dry_run else self.ask(name, *arguments, **options)

    def find(self, kind: str, name: str = "", *parents: str) -> list[Answer]:
        """Return what there is of a kind, such as "runs", with this display name or any."""
        query = {} if parents else dict(self.space)
        if name:
            predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
            query["filter"] = json.dumps({"predicates": [predicate]})
        found: list[Answer] = []
        token = ""
        while True:
            page = self.ask(f"list_{kind}", *parents, **query, page_token=token, page_size=50)
            found += getattr(page, kind) or []
            token = page.next_page_token or ""
            if not token:
                return found


def _configuration(where: Any) -> Answer:
    """Return address, credentials and retries, as the generated client takes them."""
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration()
    configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE")
    # What asks or removes is repeated; what creates is not: the next deploy looks for it first.
    configuration.retries = urllib3.Retry(
        total=5,
        connect=0,  # where nothing listens, that is said at once
        backoff_factor=RETRY_PAUSE,
        allowed_methods=["GET", "DELETE"],
        status_forcelist=[408, 429, 500, 502, 503, 504],
        raise_on_status=False,
    )
    if not where.host:
        kubectl = Kubectl(where.namespace, where.context)
        kubectl.read(f"/services/{SERVICE}/apis/v2beta1/healthz", seconds=2)
        _log_in(configuration, where.context, f"{kubectl.space}/services/{SERVICE}")
        return configuration
    configuration.host = re.sub(r"^(?!\w+://)", "https://", where.host).rstrip("/")
    if token := os.environ.get("KF_PIPELINES_SA_TOKEN_PATH"):
        if not Path(token).is_file():
            raise ConfigError(f"KF_PIPELINES_SA_TOKEN_PATH={token}: there is no such file")
        configuration.api_key["authorization"] = Path(token).read_text("utf-8").strip()
        configuration.api_key_prefix["authorization"] = "Bearer"
    return configuration


def _log_in(configuration: Answer, context: str, path: str) -> None:
    """Go through the Kubernetes API, as the kubeconfig logs in to it: `kubectl proxy` would lend
    that login to all users of this machine."""
    from kubernetes import config

    try:
        config.load_kube_config(client_configuration=configuration, context=context or None)
    except config.ConfigException as error:
        raise ConfigError(f"no cluster is configured here: {error}", "--context NAME") from None
    configuration.host = address = configuration.host.rstrip("/") + path
    renew = configuration.refresh_api_key_hook

    def renew_token(configuration: Answer) -> None:
        renew(configuration)  # points back at the API itself, and at the library's own hook
        configuration.host, configuration.refresh_api_key_hook = address, renew_token

    configuration.refresh_api_key_hook = renew and renew_token

"""The API of Kubeflow Pipelines: a client that waits out what passes, and says in one line what does not."""

import contextlib
import functools
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from components.shared.errors import ClusterError

TRIES = 6
PAUSE_SECONDS = 0.5  # before the second try, then twice as long each time
TIMEOUT_SECONDS = (10, 60)  # to connect, to answer
PAGE = 50
PASSES = {408, 429, 500, 502, 503, 504}
FIXES = {
    401: "log in again, or name a valid token by KF_PIPELINES_SA_TOKEN_PATH",
    403: "ask for the role arxtune-deployer in this namespace",
    404: "is --host the address of Kubeflow Pipelines?",
}

Result = TypeVar("Result")


class Transient(Exception):
    """A call failed in a way that passes; whether the server carried it out is not known."""


class Kubeflow:
    """Kubeflow Pipelines at `host`, or wherever the kubeconfig or the pod's own cluster has it."""

    def __init__(self, host: str = "", namespace: str = "kubeflow", context: str = "") -> None:
        self.host, self._tries = host, TRIES
        self.client = self.ask("connect", lambda: _client(host, namespace, context))
        health = self.ask(
            "look whether it is up", self.client._healthz_api.healthz_service_get_healthz
        )
        # A single-user server refuses requests that name a namespace.
        self.space = {"namespace": namespace} if health.multi_user else {}

    @property
    def link(self) -> str:
        """Return the address of the dashboard, as far as it is known from here."""
        return str(self.client._get_url_prefix()).removesuffix("/apis/v2beta1") or "the dashboard"

    def ask(self, what: str, call: Callable[[], Result]) -> Result:
        """Make a call that may be repeated: a question, or a change that is the same when made twice."""
        for attempt in range(1, self._tries + 1):
            try:
                return self.once(what, call)
            except Transient as error:
                if attempt == self._tries:
                    raise ClusterError(str(error), "is it up, and the network?") from None
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def once(self, what: str, call: Callable[[], Result]) -> Result:
        """Make a call once; raise Transient for what passes and ClusterError, in one line, for what does not."""
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        problem = f"Kubeflow Pipelines at {self.host or 'the cluster'}: cannot {what}"
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the client prints links
                return call()
        except ApiException as error:
            if error.status in PASSES or not error.status:
                raise Transient(f"{problem}: HTTP {error.status}") from None
            raise ClusterError(
                f"{problem}: HTTP {error.status} {_reason(error)}",
                FIXES.get(error.status, ""),
                error.status,
            ) from None
        except (HTTPError, ConnectionError) as error:
            raise Transient(
                f"{problem}: {type(getattr(error, 'reason', None) or error).__name__}"
            ) from None

    def ensure(
        self, what: str, find: Callable[[], Result | None], create: Callable[[], Any]
    ) -> tuple[Result, bool]:
        """Return what `find`, which asks by itself, finds, and whether it had to be created.

        Looks again after every try: a create whose answer was lost, or that another deploy won, is not repeated.
        """
        for attempt in range(1, self._tries + 1):
            found = find()
            if found is not None:
                return found, attempt > 1
            try:
                self.once(f"create {what}", create)
            except Transient as error:
                if attempt == self._tries:
                    raise ClusterError(str(error), "is it up, and the network?") from None
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            except ClusterError as error:
                if error.http_status != 409:
                    raise
        raise ClusterError(f"{what} was created and is not there", "look at the dashboard")

    def pages(self, what: str, field: str, ask: Callable[..., Any]) -> Iterator[Any]:
        """Yield the items of all pages of a list."""
        token = ""
        while True:
            page = self.ask(
                f"list {what}", functools.partial(ask, page_token=token, page_size=PAGE)
            )
            yield from getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return


def named(name: str) -> str:
    """Return the filter of a list for one display name."""
    return json.dumps(
        {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
    )


def _client(host: str, namespace: str, context: str) -> Any:
    import kfp

    class Client(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            """Ask once: the original repeats for 25 s and logs a traceback each time."""
            return self._healthz_api.healthz_service_get_healthz()

        def _load_config(self, *arguments: Any, **options: Any) -> Any:
            """Keep the way through the cluster's proxy: renewing the kubeconfig's token points back at the API."""
            config = super()._load_config(*arguments, **options)
            address, renew = config.host, config.refresh_api_key_hook

            def renew_token(config: Any) -> None:
                renew(config)
                config.host, config.refresh_api_key_hook = address, renew_token

            if renew:
                config.refresh_api_key_hook = renew_token
            return config

    credentials = None
    if os.environ.get("KF_PIPELINES_SA_TOKEN_PATH"):
        credentials = kfp.client.ServiceAccountTokenVolumeCredentials()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that servers older than 2.0 do not work
        client = Client(
            host=host or None,
            namespace=namespace,
            kube_context=context or None,
            credentials=credentials,
            cookies=os.environ.get("KF_PIPELINES_COOKIES") or None,
        )
    _limit_time(client._healthz_api.api_client.rest_client)
    return client


def _limit_time(rest: Any) -> None:
    """Give every request of a generated client a timeout; by default it waits forever. Retries are ours."""
    request = rest.request
    rest.pool_manager.connection_pool_kw["retries"] = False

    def limited(*arguments: Any, **options: Any) -> Any:
        return request(*arguments, **{**options, "_request_timeout": TIMEOUT_SECONDS})

    rest.request = limited


def _reason(error: Any) -> str:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return str(
            json.loads(error.body).get("error_message") or json.loads(error.body).get("message")
        )[:200]
    return str(error.reason or "")

"""The stand-in's way in: HTTP over TLS, who asks, what for, and what befalls it."""

import base64
import json
import re
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from components.shared.loopback import LoopbackServer, QuickHandler
from tests.pipelines.kubernetes_standin import access, kinds
from tests.pipelines.kubernetes_standin.certificate import self_signed
from tests.pipelines.kubernetes_standin.cluster import Cluster
from tests.pipelines.kubernetes_standin.kinds import Kind
from tests.pipelines.kubernetes_standin.rules import Object, Refused

ADMIN = "admin's token"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/.))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/proxy/+(?P<rest>.*))?"
)
SETTLE_SECONDS = 0.05
SLOW_SECONDS = 0.3
REASONS = {
    401: "Unauthorized", 403: "Forbidden", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"
}  # fmt: skip
# An OpenAPI v2 document without definitions, as protobuf: what kubectl reads when v3 knows no kind of that name.
OPENAPI_V2 = b"\x0a\x032.0\x12\x0d\x0a\x04none\x12\x05v1.33"
Query = dict[str, str]


class KubernetesStandIn(LoopbackServer):
    def __init__(self, kubeflow: str = "") -> None:
        """Serve an empty cluster; `kubeflow` is the URL of what its Service ml-pipeline leads to."""
        standin = self
        self.kubeflow = kubeflow
        self.cluster = Cluster()
        self.accounts = {ADMIN: ""}  # token: namespace:name of a service account, or all rights
        self.calls: list[str] = []
        self.faults: dict[int, int | str] = {}  # an HTTP status, "slow", "drop" or "drop after"
        self.always: int | str = ""  # the fault of every request that has none of its own
        self.on_change: Callable[[int, bool], None] = lambda number, carried_out: None
        self.changes = 0
        self._lock = threading.Lock()

        class Handler(QuickHandler):
            def _serve(self) -> None:
                standin.serve(self)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        super().__init__(Handler)
        self.url = self.url.replace("http:", "https:")
        self._certificate, key = self_signed()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self._certificate + key)
            file.flush()
            context.load_cert_chain(file.name)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )  # fmt: skip
        self._end = threading.Event()

    def __enter__(self) -> Self:
        super().__enter__()
        threading.Thread(target=self._control, name="controllers", daemon=True).start()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._end.set()
        super().__exit__(*problem)

    def _control(self) -> None:
        while not self._end.wait(SETTLE_SECONDS):
            self.cluster.settle()

    def kubeconfig(self, path: Path, token: str = ADMIN) -> Path:
        """Write what kubectl needs to come here."""
        authority = base64.b64encode(self._certificate).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "here", "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "current-context": "here",
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    def state(self) -> dict[str, Any]:
        """Return what the cluster holds, without what differs from one creation to the next."""
        told = {}
        for (resource, namespace, name), kept in sorted(self.cluster.kept.items()):
            found = {
                key: value
                for key, value in kept.object.items()
                if key not in ("status", "metadata")
            }
            if resource == "secrets":
                found["data"] = sorted(found["data"])
            labels = kept.object["metadata"].get("labels")
            text = json.dumps([found, labels], sort_keys=True).replace(
                kept.object["metadata"]["uid"], "UID"
            )
            told[f"{resource} {namespace}/{name}"] = (text, sorted(kept.owners))
        return told

    def serve(self, handler: Any) -> None:
        path, query = (
            urllib.parse.urlsplit(handler.path).path,
            dict(urllib.parse.parse_qsl(handler.path.partition("?")[2])),
        )
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            fault = self.faults.get(len(self.calls), self.always)
            self.calls.append(f"{handler.command} {path}")
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        if fault == "drop":
            return handler.reset()
        try:
            if isinstance(fault, int):
                raise Refused(fault, REASONS[fault], "it is a bad day")
            status, answer, content = 200, *self._answer(handler, path, query, body)
        except Refused as refused:
            status, content = refused.status, "application/json"
            answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": refused.message,
                      "reason": refused.reason, "code": refused.status, "details": refused.details}  # fmt: skip
        if fault == "drop after":
            return handler.reset()
        if answer is not None:
            self._send(handler, status, answer, content)
        return None

    def _send(self, handler: Any, status: int, answer: Any, content: str) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response_only(status)
        handler.send_header("Content-Type", content)
        handler.send_header("Content-Length", str(len(data)))
        if status == 429:
            handler.send_header("Retry-After", "1")
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, handler: Any, path: str, query: Query, body: bytes) -> tuple[Any, str]:
        token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in self.accounts:
            raise Refused(401, "Unauthorized", "Unauthorized")
        with self.cluster.changed:
            served = self.cluster.kinds()
        if path == "/version":
            return {
                "major": "1",
                "minor": "33",
                "gitVersion": f"v{kinds.KUBERNETES}.0",
            }, "application/json"
        if path in ("/api", "/apis"):
            return kinds.discovery(served, core=path == "/api"), DISCOVERY
        if path == "/openapi/v2":
            return OPENAPI_V2, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        if path == "/openapi/v3":
            versions = {kind.api_version for kind in served}
            roots = {f"api/{one}" if one == "v1" else f"apis/{one}": one for one in versions}
            return {
                "paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}
            }, "application/json"
        if path.startswith("/openapi/v3/"):
            version = re.sub("^/openapi/v3/apis?/", "", path)
            return kinds.openapi(served, version), "application/json"
        return self._resource(
            handler, path, query, body, self.accounts[token], served
        ), "application/json"

    def _resource(
        self, handler: Any, path: str, query: Query, body: bytes, account: str, served: list[Kind]
    ) -> Any:  # fmt: skip
        found = PATH.fullmatch(path)
        kind = found and next(
            (
                kind
                for kind in served
                if kind.plural == found["plural"]
                and kind.group == (found["group"] or "")
                and kind.gvk()["version"] == found["version"]
            ),
            None,
        )
        if not found or not kind:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        namespace, name, sent = (
            found["namespace"] or "",
            found["name"] or "",
            yaml.safe_load(body) if body else {},
        )
        if found["rest"] is not None:
            self._authorise(account, _verb(handler, query, name), kind, namespace, name, "/proxy")
            return self._forward(handler, found["rest"], body)
        self._authorise(account, _verb(handler, query, name), kind, namespace, name)
        match handler.command:
            case "GET" if name:
                return self.cluster.get(kind, namespace, name)
            case "GET" if query.get("watch") == "true":
                return self._watch(handler, kind, namespace, query)
            case "GET":
                items = _selected(self.cluster.list(kind, namespace), query)
                version = {
                    "resourceVersion": str(
                        self.cluster.events[-1][0] if self.cluster.events else 100
                    )
                }
                return {
                    "kind": f"{kind.name}List",
                    "apiVersion": kind.api_version,
                    "metadata": version,
                    "items": items,
                }
        return self._change(handler, kind, namespace, name, sent, query, account)

    def _change(
        self, handler: Any, kind: Kind, namespace: str, name: str, sent: Object, query: Query, account: str
    ) -> Any:  # fmt: skip
        manager, dry_run = query.get("fieldManager", "unknown"), query.get("dryRun") == "All"
        if not dry_run:
            with self._lock:
                number, self.changes = self.changes, self.changes + 1
            self.on_change(number, False)
        with self.cluster.changed:
            if handler.command == "DELETE":
                self.cluster.delete(kind, namespace, name)
                answer = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            elif handler.command == "POST":
                self._refuse_escalation(account, namespace, sent)
                answer = self.cluster.create(kind, namespace, sent, manager, dry_run=dry_run)
            else:
                if (kind.resource, namespace, name) not in self.cluster.kept:
                    self._authorise(account, "create", kind, namespace, name)
                self._refuse_escalation(account, namespace, sent)
                force = query.get("force") == "true"
                answer = self.cluster.apply(
                    kind, namespace, sent, manager, force=force, dry_run=dry_run
                )
        if not dry_run:
            self.on_change(number, True)
        return answer

    def _authorise(
        self, account: str, verb: str, kind: Kind, namespace: str, name: str, below: str = ""
    ) -> None:
        request = access.Request(verb, kind.group, kind.plural + below, namespace, name)
        with self.cluster.changed:
            rules = list(access.rules_of(account, namespace, self.cluster.objects))
        if account and not access.allowed(request, rules):
            user = f"system:serviceaccount:{account}"
            raise Refused(
                403, "Forbidden", f'{kind.resource} "{name}" is forbidden: User "{user}" {request}'
            )

    def _refuse_escalation(self, account: str, namespace: str, sent: Object) -> None:
        if not account or sent.get("apiVersion", "").partition("/")[0] != access.RBAC:
            return
        objects = self.cluster.objects
        wanted = access.referenced(sent, objects) if "roleRef" in sent else sent.get("rules") or []
        if access.escalates(wanted, list(access.rules_of(account, namespace, objects))):
            raise Refused(
                403, "Forbidden", "attempting to grant RBAC permissions not currently held"
            )

    def _watch(self, handler: Any, kind: Kind, namespace: str, query: Query) -> None:
        """Send what happens from a resourceVersion on, until the client goes or the time that it gave is over."""
        handler.send_response_only(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.flush()
        handler.close_connection = True
        until = time.monotonic() + float(query.get("timeoutSeconds") or 60)
        seen = int(query.get("resourceVersion") or 0)
        while time.monotonic() < until and not self._end.is_set():
            with self.cluster.changed:
                events = [event for event in self.cluster.events if event[0] > seen]
                if not events:
                    self.cluster.changed.wait(0.1)
            for version, event, (resource, where, _), found in events:
                seen = version
                if (
                    resource == kind.resource
                    and namespace in ("", where)
                    and _selected([found], query)
                ):
                    handler.wfile.write(
                        json.dumps({"type": event, "object": found}).encode() + b"\n"
                    )
                    handler.wfile.flush()

    def _forward(self, handler: Any, rest: str, body: bytes) -> bytes:
        """Pass a request on to what a Service leads to."""
        _, mark, query = handler.path.partition("?")
        headers = {"Content-Type": handler.headers.get("Content-Type") or "application/json"}
        request = urllib.request.Request(
            f"{self.kubeflow}/{rest}{mark}{query}", body or None, headers, method=handler.command
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise Refused(error.code, "", error.read().decode()) from None


REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def _verb(handler: Any, query: Query, name: str) -> str:
    if handler.command == "GET":
        return "get" if name else "watch" if query.get("watch") == "true" else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[handler.command]


def _selected(items: list[Object], query: Query) -> list[Object]:
    wanted = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return [one for one in items if wanted in ("", one["metadata"]["name"])]

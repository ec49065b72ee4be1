"""A stand-in for the API of Kubeflow Pipelines on loopback, with the server's own rules and its bad days.

Names of pipelines and versions are unique (409), versions never change, lists come in pages, a single-user server
refuses namespaces, a multi-user one demands a token, and deleting a schedule kills its workflows unless they are
orphaned. `faults` maps the number of a call to what befalls it.
"""

import email
import email.policy
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import yaml

from components.shared.loopback import LoopbackServer, QuickHandler

PAGE = 2  # items a page at most, however many are asked for
SLOW_SECONDS = 0.1


class Refused(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        self.status, self.message = status, message


class KubeflowStandIn(LoopbackServer):
    def __init__(self, *, multi_user: bool = False, token: str = "") -> None:
        standin = self
        self.multi_user, self.token = multi_user, token
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.faults: dict[int, int | str] = {}  # an HTTP status, "slow", "drop" or "drop after"
        self.forbidden = False
        self._made = 0
        self._lock = threading.Lock()

        class Handler(QuickHandler):
            def _serve(self) -> None:
                standin.serve(self)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        super().__init__(Handler)

    def state(self) -> dict[str, Any]:
        """Return what a deploy is for, without ids."""
        return {
            "pipelines": sorted(one["display_name"] for one in self.pipelines.values()),
            "versions": sorted(one["display_name"] for one in self.versions.values()),
            "schedules": sorted(
                (one["display_name"], one["description"], one["mode"])
                for one in self.schedules.values()
            ),
        }

    def start_run_of(self, schedule: str) -> dict[str, Any]:
        """Let a schedule start a workflow, as its controller does."""
        return self._new(self.runs, "run", {"recurring_run_id": schedule, "state": "RUNNING"})

    def serve(self, handler: Any) -> None:
        with self._lock:
            parts = urllib.parse.urlsplit(handler.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            number = len(self.calls)
            self.calls.append(f"{handler.command} {parts.path}")
            fault = self.faults.get(number)
            if fault == "slow":
                time.sleep(SLOW_SECONDS)
            if fault == "drop":
                handler.close_connection = True
                return
            try:
                if isinstance(fault, int):
                    raise Refused(fault, "it is a bad day")
                self._authorise(handler, query, body)
                answer, status = self._route(handler, parts.path, query, body), 200
            except Refused as refused:
                answer, status = {"error_message": refused.message, "code": 0}, refused.status
            if fault == "drop after":
                handler.close_connection = True
                return
            data = json.dumps(answer).encode()
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

    def _authorise(self, handler: Any, query: dict[str, str], body: bytes) -> None:
        if handler.path.endswith("/healthz"):
            return
        if self.token and handler.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, "no valid token")
        if self.forbidden:
            raise Refused(403, "not authorized in this namespace")
        named = "namespace" in query or (body[:1] == b"{" and "namespace" in json.loads(body))
        if named and not self.multi_user:
            raise Refused(400, "In single-user mode, namespace must be empty")

    def _route(self, handler: Any, path: str, query: dict[str, str], body: bytes) -> Any:
        routes: list[tuple[str, Callable[..., Any]]] = [
            (r"GET /healthz", lambda: {"multi_user": self.multi_user, "tag_name": "2.17.0"}),
            (r"GET /pipelines", lambda: self._list("pipelines", self.pipelines, query)),
            (r"POST /pipelines", lambda: self._create_pipeline(json.loads(body))),
            (r"POST /pipelines/upload_version", lambda: self._upload(handler, query, body)),
            (r"GET /pipelines/([\w-]+)/versions", lambda i: self._list_versions(i, query)),
            (r"GET /experiments", lambda: self._list("experiments", self.experiments, query)),
            (r"POST /experiments", lambda: self._create_experiment(json.loads(body))),
            (r"GET /recurringruns", lambda: self._list("recurringRuns", self.schedules, query)),
            (r"POST /recurringruns", lambda: self._create_schedule(json.loads(body))),
            (r"POST /recurringruns/([\w-]+):(enable|disable)", self._switch),
            (r"DELETE /recurringruns/([\w-]+)", lambda i: self._delete_schedule(i, query)),
            (r"GET /runs", lambda: self._list("runs", self.runs, query)),
            (
                r"POST /runs",
                lambda: self._new(self.runs, "run", {**json.loads(body), "state": "SUCCEEDED"}),
            ),
            (r"GET /runs/([\w-]+)", lambda i: self._get(self.runs, i)),
        ]
        asked = f"{handler.command} {path.removeprefix('/apis/v2beta1')}"
        for pattern, answer in routes:
            if found := re.fullmatch(pattern, asked):
                return answer(*found.groups())
        raise Refused(404, f"no such endpoint: {asked}")

    def _new(
        self, kind: dict[str, dict[str, Any]], name: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        self._made += 1
        identity = f"{name}-{self._made:04d}"
        key = {"version": "pipeline_version_id", "schedule": "recurring_run_id"}.get(
            name, f"{name}_id"
        )
        kind[identity] = {**fields, key: identity, "created_at": "2026-01-01T00:00:00Z"}
        return kind[identity]

    def _get(self, kind: dict[str, dict[str, Any]], identity: str) -> dict[str, Any]:
        if identity not in kind:
            raise Refused(404, f"{identity} not found")
        return kind[identity]

    def _list(
        self, field: str, kind: dict[str, dict[str, Any]], query: dict[str, str]
    ) -> dict[str, Any]:
        items = list(kind.values())
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            items = [one for one in items if one.get(predicate["key"]) == predicate["stringValue"]]
        start = int(query.get("page_token") or 0)
        size = min(PAGE, int(query.get("page_size") or PAGE))
        rest = str(start + size) if start + size < len(items) else ""
        return {
            field: items[start : start + size],
            "next_page_token": rest,
            "total_size": len(items),
        }

    def _unique(self, items: list[dict[str, Any]], name: str) -> None:
        if any(one["display_name"] == name for one in items):
            raise Refused(409, f"the name {name} already exists")

    def _create_pipeline(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._unique(list(self.pipelines.values()), fields["display_name"])
        return self._new(self.pipelines, "pipeline", fields)

    def _create_experiment(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._unique(list(self.experiments.values()), fields["display_name"])
        return self._new(self.experiments, "experiment", fields)

    def _list_versions(self, pipeline: str, query: dict[str, str]) -> dict[str, Any]:
        self._get(self.pipelines, pipeline)
        own = {key: one for key, one in self.versions.items() if one["pipeline_id"] == pipeline}
        return self._list("pipeline_versions", own, query)

    def _upload(self, handler: Any, query: dict[str, str], body: bytes) -> dict[str, Any]:
        pipeline = query["pipelineid"]
        self._get(self.pipelines, pipeline)
        head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
        (file,) = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        spec, _platform = yaml.load_all(
            file.get_content(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        if "root" not in spec:
            raise Refused(400, "not a pipeline")
        self._unique(
            [one for one in self.versions.values() if one["pipeline_id"] == pipeline], query["name"]
        )
        return self._new(
            self.versions, "version", {"display_name": query["name"], "pipeline_id": pipeline}
        )

    def _create_schedule(self, fields: dict[str, Any]) -> dict[str, Any]:
        reference = fields["pipeline_version_reference"]
        self._get(self.versions, reference["pipeline_version_id"])
        self._get(self.experiments, fields["experiment_id"])
        if len(fields["trigger"]["cron_schedule"]["cron"].split()) != 6:
            raise Refused(400, "cron must have six fields")
        return self._new(self.schedules, "schedule", {**fields, "status": fields["mode"] + "D"})

    def _switch(self, identity: str, what: str) -> dict[str, Any]:
        schedule = self._get(self.schedules, identity)
        schedule["mode"], schedule["status"] = what.upper(), f"{what.upper()}D"
        return {}

    def _delete_schedule(self, identity: str, query: dict[str, str]) -> dict[str, Any]:
        self._get(self.schedules, identity)
        del self.schedules[identity]
        if query.get("propagation_policy") != "ORPHAN":
            for run in self.runs.values():
                if run.get("recurring_run_id") == identity:
                    run["state"] = "KILLED"
        return {}

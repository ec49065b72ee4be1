"""A stand-in for the API of Kubeflow Pipelines on loopback, with its own rules and bad days.

Names of pipelines and versions are unique (409), versions never change, lists come in pages, a
single-user server refuses namespaces, a multi-user one demands a token, and deleting a schedule
kills its runs unless they are orphaned, which servers before 2.16 do not know. A run has one task
for each node of Argo's graph. `faults` maps the number of a call to what befalls it.
"""

import email
import email.policy
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from components.shared.loopback import LoopbackServer, QuickHandler

PAGE = 2  # items a page at most, however many are asked for
Record = dict[str, Any]
Kind = dict[str, Record]
IDS = {"version": "pipeline_version_id", "schedule": "recurring_run_id"}


class Refused(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        self.status, self.message = status, message


def argo_tasks(states: dict[str, str], *, retries: bool = True) -> list[Record]:
    """Return the tasks of a run with stages in these states: drivers, executors, retries too."""
    tasks: list[Record] = []

    def add(name: str, state: str) -> None:
        made = {"task_id": f"task-{len(tasks)}", "display_name": name, "state": state}
        tasks.append(made)

    wrapper = "(0)" if retries else ""
    for name in dict.fromkeys(["root-driver", f"root-driver{wrapper}", "root", f"root{wrapper}"]):
        add(name, "SUCCEEDED" if "driver" in name else "RUNNING")
    for stage, state in states.items():
        for name in dict.fromkeys([f"{stage}-driver", f"{stage}-driver{wrapper}"]):
            add(name, "FAILED" if state == "DRIVER FAILED" else "SUCCEEDED")
        if state != "DRIVER FAILED":
            for name in dict.fromkeys(
                [stage, f"{stage}{wrapper}", "executor", f"executor{wrapper}"]
            ):
                add(name, state)
    return tasks


class KubeflowStandIn(LoopbackServer):
    def __init__(
        self, *, version: str = "2.17.0", multi_user: bool = False, token: str = ""
    ) -> None:
        standin = self
        self.version, self.multi_user, self.token = version, multi_user, token
        self.pipelines: Kind = {}
        self.versions: Kind = {}
        self.experiments: Kind = {}
        self.schedules: Kind = {}
        self.runs: Kind = {}
        self.views: list[Record] = []  # of a run, one for each look at it; the last one stays
        self.calls: list[str] = []
        self.faults: dict[int, int | str] = {}  # an HTTP status, "drop" or "drop after"
        self.forbidden = False
        self._made = 0
        self._lock = threading.Lock()

        class Handler(QuickHandler):
            def _serve(self) -> None:
                standin.serve(self)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        super().__init__(Handler)

    def state(self) -> Record:
        """Return what a deploy is for, without ids."""
        schedules = self.schedules.values()
        return {
            "pipelines": sorted(one["display_name"] for one in self.pipelines.values()),
            "versions": sorted(one["display_name"] for one in self.versions.values()),
            "schedules": sorted((one["display_name"], one["description"]) for one in schedules),
        }

    def start_run_of(self, schedule: str) -> Record:
        """Let a schedule start a run, as its controller does."""
        return self.new(self.runs, "run", {"recurring_run_id": schedule, "state": "RUNNING"})

    def serve(self, handler: Any) -> None:
        with self._lock:
            parts = urllib.parse.urlsplit(handler.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            fault = self.faults.get(len(self.calls))
            self.calls.append(f"{handler.command} {parts.path}")
            answer, status = {}, 200
            try:
                if isinstance(fault, int):
                    raise Refused(fault, "it is a bad day")
                if fault != "drop":
                    self._authorise(handler, query, body)
                    answer = self._route(handler, parts.path, query, body)
            except Refused as refused:
                answer, status = {"error_message": refused.message, "code": 0}, refused.status
            if fault in ("drop", "drop after"):
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
        new = self._unique
        health = {"multi_user": self.multi_user, "tag_name": self.version}
        routes: Sequence[tuple[str, Callable[..., Any]]] = [
            (r"GET /healthz", lambda: health),
            (r"GET /pipelines", lambda: self._list("pipelines", self.pipelines, query)),
            (r"POST /pipelines", lambda: new(self.pipelines, "pipeline", json.loads(body))),
            (r"POST /pipelines/upload_version", lambda: self._upload(handler, query, body)),
            (r"GET /pipelines/([\w-]+)/versions", lambda i: self._versions_of(i, query)),
            (r"GET /experiments", lambda: self._list("experiments", self.experiments, query)),
            (r"POST /experiments", lambda: new(self.experiments, "experiment", json.loads(body))),
            (r"GET /recurringruns", lambda: self._list("recurringRuns", self.schedules, query)),
            (r"POST /recurringruns", lambda: self._create_schedule(json.loads(body))),
            (r"DELETE /recurringruns/([\w-]+)", lambda i: self._delete_schedule(i, query)),
            (r"GET /runs", lambda: self._list("runs", self.runs, query)),
            (r"POST /runs", lambda: self.new(self.runs, "run", json.loads(body))),
            (r"GET /runs/([\w-]+)", self._look),
        ]  # fmt: skip
        asked = f"{handler.command} {path.partition('/apis/v2beta1')[2]}"
        for pattern, answer in routes:
            if found := re.fullmatch(pattern, asked):
                return answer(*found.groups())
        raise Refused(404, f"no such endpoint: {asked}")

    def new(self, kind: Kind, name: str, fields: Record) -> Record:
        self._made += 1
        identity = f"{name}-{self._made:04d}"
        key = IDS.get(name, f"{name}_id")
        kind[identity] = {**fields, key: identity, "created_at": "2026-01-01T00:00:00Z"}
        return kind[identity]

    def _look(self, run: str) -> Record:
        view = self.views.pop(0) if len(self.views) > 1 else (self.views or [{}])[0]
        return {**self._get(self.runs, run), **view}

    def _get(self, kind: Kind, identity: str) -> Record:
        if identity not in kind:
            raise Refused(404, f"{identity} not found")
        return kind[identity]

    def _list(self, field: str, kind: Kind, query: dict[str, str]) -> Record:
        items = list(kind.values())
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            items = [one for one in items if one.get(predicate["key"]) == predicate["stringValue"]]
        start = int(query.get("page_token") or 0)
        end = start + min(PAGE, int(query.get("page_size") or PAGE))
        return {field: items[start:end], "next_page_token": str(end) if end < len(items) else ""}

    def _unique(self, kind: Kind, name: str, fields: Record) -> Record:
        among = [
            one for one in kind.values() if one.get("pipeline_id") == fields.get("pipeline_id")
        ]
        if name != "version":
            among = list(kind.values())
        if any(one["display_name"] == fields["display_name"] for one in among):
            raise Refused(409, f"the name {fields['display_name']} already exists")
        return self.new(kind, name, fields)

    def _versions_of(self, pipeline: str, query: dict[str, str]) -> Record:
        self._get(self.pipelines, pipeline)
        own = {key: one for key, one in self.versions.items() if one["pipeline_id"] == pipeline}
        return self._list("pipeline_versions", own, query)

    def _upload(self, handler: Any, query: dict[str, str], body: bytes) -> Record:
        self._get(self.pipelines, query["pipelineid"])
        head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
        (file,) = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        spec, _platform = yaml.load_all(file.get_content(), Loader=loader)
        if "root" not in spec:
            raise Refused(400, "not a pipeline")
        fields = {"display_name": query["name"], "pipeline_id": query["pipelineid"]}
        return self._unique(self.versions, "version", fields)

    def _create_schedule(self, fields: Record) -> Record:
        self._get(self.versions, fields["pipeline_version_reference"]["pipeline_version_id"])
        self._get(self.experiments, fields["experiment_id"])
        return self.new(self.schedules, "schedule", {**fields, "status": fields["mode"] + "D"})

    def _delete_schedule(self, identity: str, query: dict[str, str]) -> Record:
        self._get(self.schedules, identity)
        del self.schedules[identity]
        knows_orphans = tuple(map(int, self.version.split(".")[:2])) >= (2, 16)
        if query.get("propagation_policy") != "ORPHAN" or not knows_orphans:
            for run in self.runs.values():
                if run.get("recurring_run_id") == identity:
                    run["state"] = "KILLED"
        return {}

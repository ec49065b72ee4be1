"""Checks of what a run talks to: store, registry, teacher, model hub and Kubeflow Pipelines."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.doctor.finding import Finding, Surroundings, Unanswered, http

SKEW_SECONDS = 60


def store_read(where: Surroundings) -> Finding:
    return _store(
        where, lambda store: f"{sum(1 for _ in store.list('releases'))} entries of releases"
    )


def store_write(where: Surroundings) -> Finding:
    def write(store: Any) -> str:
        key = f"doctor/{uuid.uuid4()}"
        store.put(key, b"written by arxtune doctor")
        store.delete(key)
        return "written and removed"

    return _store(where, write)


def _store(where: Surroundings, use: Callable[[Any], str]) -> Finding:
    from components.shared.errors import StoreError
    from components.shared.store import open_store

    if not where.store:
        return Finding(
            "off", "no store is named", "--store s3://bucket, with the AWS_* variables set"
        )
    try:
        return Finding("ok", use(open_store(where.store)))
    except StoreError as error:
        return Finding("fail", error.problem, error.fix)


def clock(where: Surroundings) -> Finding:
    from components.shared.s3 import clock_skew

    endpoint = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    if not where.store.startswith("s3://"):
        return Finding("off", "no S3 store to compare the clock with", "--store s3://bucket")
    try:
        _, _, headers = http(endpoint)
    except Unanswered as error:
        return Finding("fail", f"{endpoint}: {error}", "is AWS_ENDPOINT_URL right and up?")
    skew = clock_skew(headers.get("Date"))
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store"
    return (
        Finding("ok", detail)
        if abs(skew) < SKEW_SECONDS
        else Finding("fail", detail, "set this machine's clock")
    )


def image(where: Surroundings) -> Finding:
    registry, slash, rest = where.image.partition("/")
    if not slash or ("." not in registry and ":" not in registry):
        return Finding(
            "off", "no image with a registry is named", "--image registry.example/team/llm:0.1.0"
        )
    name, _, tag = rest.rpartition(":")
    scheme = "http" if registry.startswith(("127.", "localhost")) else "https"
    accept = {
        "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    }
    try:
        status, _, _ = http(f"{scheme}://{registry}/v2/{name}/manifests/{tag}", accept, "HEAD")
    except Unanswered as error:
        return Finding(
            "fail", f"{registry}: {error}", "is the registry's name right, and reachable from here?"
        )
    if status == 404:
        return Finding("fail", f"{where.image} is not there", "make images, then docker push")
    if status in (401, 403):
        return Finding(
            "fail", f"{registry} asks for a login", "give pipeline-runner an imagePullSecret"
        )
    return (
        Finding("ok", where.image)
        if status == 200
        else Finding("fail", f"HTTP {status}", "try again later")
    )


def teacher_key(where: Surroundings) -> Finding:
    state, status, _ = _teacher(where)
    if state:
        return state
    if status == 200:
        return Finding("ok", "GROQ_API_KEY is accepted")
    return Finding(
        "fail",
        f"GROQ_API_KEY is refused (HTTP {status})",
        "make a new key, or use --teacher embedded",
    )


def teacher_model(where: Surroundings) -> Finding:
    state, status, body = _teacher(where)
    if state or status != 200:
        return state or Finding("fail", f"HTTP {status}", "see the check of the key")
    known = sorted(model["id"] for model in json.loads(body)["data"])
    if where.teacher_model in known:
        return Finding("ok", where.teacher_model)
    return Finding(
        "fail", f"there is no model {where.teacher_model!r}", f"one of {', '.join(known)[:200]}"
    )


def _teacher(where: Surroundings) -> tuple[Finding | None, int, bytes]:
    key = os.environ.get("GROQ_API_KEY")
    if not key:
        return (
            Finding("off", "GROQ_API_KEY is not set", "set it, or use --teacher embedded"),
            0,
            b"",
        )
    try:
        status, body, _ = http(
            f"{where.teacher_url}/openai/v1/models", {"Authorization": f"Bearer {key}"}
        )
    except Unanswered as error:
        return Finding("fail", f"{where.teacher_url}: {error}", "is the network up?"), 0, b""
    return None, status, body


def hub(where: Surroundings) -> Finding:
    token = os.environ.get("HF_TOKEN")
    if not token:
        return Finding("off", "HF_TOKEN is not set", "set it for gated models such as Llama")
    url = f"{where.hub_url}/{where.base_model}/resolve/main/config.json"
    try:
        status, _, _ = http(url, {"Authorization": f"Bearer {token}"}, "HEAD")
    except Unanswered as error:
        return Finding("fail", f"{where.hub_url}: {error}", "is the network up?")
    if status == 200:
        return Finding("ok", f"{where.base_model} may be read")
    fixes = {
        401: "HF_TOKEN is not valid: make a new one",
        403: "ask for access on the model's page",
    }
    return Finding(
        "fail", f"{where.base_model}: HTTP {status}", fixes.get(status, "is --base-model right?")
    )


def kfp(where: Surroundings) -> Finding:
    state, _, body = _kfp(where, "/apis/v2beta1/healthz")
    if state:
        return state
    return Finding(
        "ok",
        f"{'multi-user' if json.loads(body).get('multi_user') else 'single-user'} at {where.host}",
    )


def kfp_store(where: Surroundings) -> Finding:
    state, _, body = _kfp(where, "/apis/v2beta1/healthz")
    if state:
        return state
    mode = json.loads(body).get("pipeline_store") or "database"
    if mode == "kubernetes":
        return Finding(
            "ok", "pipelines are Kubernetes resources: deploy --write-resources suits it"
        )
    return Finding("ok", f"pipelines are in its {mode}")


def kfp_version(where: Surroundings) -> Finding:
    from pipelines.manifests import kfp_version as pinned

    state, status, body = _kfp(where, "/apis/v1beta1/healthz")
    if state or status != 200:
        return state or Finding(
            "off", "it does not tell its version", "look at the dashboard's corner"
        )
    version = str(json.loads(body).get("tag_name") or "unknown")
    if version.startswith("1."):
        return Finding("fail", version, f"upgrade to {pinned()}: pipelines of this kind need 2.0")
    return Finding("ok", f"{version}, tested with {pinned()}")


def kfp_token(where: Surroundings) -> Finding:
    state, status, _ = _kfp(where, f"/apis/v2beta1/runs?page_size=1{_space(where)}")
    if state or status == 200:
        return state or Finding("ok", "requests are accepted")
    fix = (
        "name a valid token by KF_PIPELINES_SA_TOKEN_PATH"
        if status == 401
        else "ask for the role arxtune-deployer"
    )
    return Finding("fail", f"HTTP {status}", fix)


def _space(where: Surroundings) -> str:
    _, _, body = _kfp(where, "/apis/v2beta1/healthz")
    return f"&namespace={where.namespace}" if body and json.loads(body).get("multi_user") else ""


def _kfp(where: Surroundings, path: str) -> tuple[Finding | None, int, bytes]:
    if not where.host:
        return (
            Finding("off", "no Kubeflow Pipelines is named", "--host URL or KF_PIPELINES_ENDPOINT"),
            0,
            b"",
        )
    headers = {}
    if file := os.environ.get("KF_PIPELINES_SA_TOKEN_PATH"):
        if not Path(file).is_file():
            return (
                Finding("fail", f"no token in {file}", "mount the service account's token there"),
                0,
                b"",
            )
        headers["Authorization"] = f"Bearer {Path(file).read_text('utf-8').strip()}"
    try:
        status, body, _ = http(where.host.rstrip("/") + path, headers)
    except Unanswered as error:
        fix = f"kubectl port-forward -n {where.namespace} svc/ml-pipeline 8888"
        return Finding("fail", f"{where.host}: {error}", fix), 0, b""
    if "healthz" in path and "v2beta1" in path and status != 200:
        return (
            Finding(
                "fail", f"{where.host}: HTTP {status}", "is it the address of Kubeflow Pipelines?"
            ),
            status,
            b"",
        )
    return None, status, body

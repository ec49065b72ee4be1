"""A bare cluster's first run: the store is a prefix of the bucket of Kubeflow's own SeaweedFS.

It is started with the arguments and commands of Kubeflow Pipelines 2.17.0.
"""

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.buckets import ensure_bucket
from pipelines import deploy
from pipelines.servers import stand_in_site

ROOT = Path(__file__).parents[2]
SERVER = ["server", "-s3", "-iam", "-filer", "-master.volumePreallocate=false"]
COMMANDS = (
    "s3.bucket.create --name mlpipeline",
    "s3.configure -user admin -access_key a-key -secret_key a-secret -actions Admin -apply",
)
KUBEFLOWS = "v2/artifacts/arxtune/run/log"


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the variables that the Secret arxtune-secrets gives to a pod."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert weed is not None
    folder = tmp_path_factory.mktemp("seaweedfs")
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    flags = [f"-{name}.port={port}" for name, port in ports.items()]
    here = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([weed, *SERVER, *here, *flags], stdout=log, stderr=log)
    try:
        for command in COMMANDS:
            shell = [weed, "shell", f"-master=127.0.0.1:{ports['master']}"]
            for _ in range(120):
                done = subprocess.run(
                    shell, input=command, capture_output=True, text=True, check=False
                )
                if "error" not in done.stdout.lower() + done.stderr.lower():
                    break
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield {
            "ARXTUNE_S3_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
            "ARXTUNE_S3_ACCESS_KEY_ID": "a-key",
            "ARXTUNE_S3_SECRET_ACCESS_KEY": "a-secret",
        }
    finally:
        server.kill()
        server.wait(30)


def free_port() -> int:
    with socket.socket() as one:  # weed takes the port + 10000 too
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port if port < 50_000 else port - 15_000


def client_of(variables: dict[str, str]) -> Any:
    from minio import Minio

    host = variables["ARXTUNE_S3_ENDPOINT_URL"].removeprefix("http://")
    return Minio(host, "a-key", "a-secret", secure=False, region="us-east-1")


def test_the_first_stage_of_the_compiled_kind_profile_runs_from_nothing(
    seaweedfs: dict[str, str], tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    deploy.add_parameters(parser)
    with stand_in_site(tmp_path / "site") as site:
        settings = ["scrape.lease=file", "scrape.seconds_between_requests=0"]
        flags = [flag for setting in settings for flag in ("--set", setting)]
        flags += ["--overlay", "kind", "--max-papers", "2", "--site", site]
        asked = deploy.run_parameters(parser.parse_args(flags))
        assert asked["store"] == "s3://mlpipeline/arxtune"
        _, compiled = deploy.package(parser.parse_args([]))
        run_stage("scrape", compiled, asked, seaweedfs, tmp_path)
    assert len(list((tmp_path / "papers").rglob("*.pdf"))) == 2
    objects = client_of(seaweedfs).list_objects("mlpipeline", recursive=True)
    assert {one.object_name.split("/")[0] for one in objects} == {"arxtune"}


def run_stage(
    stage: str, compiled: str, asked: dict[str, Any], variables: dict[str, str], folder: Path
) -> None:
    """Run a stage's command of the compiled YAML, as Kubeflow's launcher does."""
    spec, _ = yaml.safe_load_all(compiled)
    component = spec["components"][f"comp-{stage}"]
    container = spec["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]
    values = {
        name: asked[name] for name in component["inputDefinitions"]["parameters"] if name in asked
    }
    kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    artifacts = {
        name: {
            "artifacts": [{"name": name, "type": kind, "uri": f"{folder}/{name}", "metadata": {}}]
        }
        for name in component["outputDefinitions"]["artifacts"]
    }
    defaults = spec["root"]["inputDefinitions"]["parameters"]
    values |= {
        name: defaults[name]["defaultValue"]
        for name in component["inputDefinitions"]["parameters"]
        if name not in values
    }
    outputs = {"outputFile": f"{folder}/output.json", "artifacts": artifacts}
    told = json.dumps({"inputs": {"parameterValues": values}, "outputs": outputs})
    command = container["command"] + [word.replace("{{$}}", told) for word in container["args"]]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        **variables,
        "_KFP_RUNTIME": "true",
        "PATH": path,
        "PYTHONPATH": str(ROOT),
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_expiry_covers_what_kubeflow_keeps_and_nothing_of_ours(
    seaweedfs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweedfs.items():
        monkeypatch.setenv(name, value)
    prefixes = ("v2/artifacts/", "private-artifacts/")
    assert len(ensure_bucket("mlpipeline", 90, prefixes)) == 1
    assert ensure_bucket("mlpipeline", 90, prefixes) == []
    client = client_of(seaweedfs)
    rules = client.get_bucket_lifecycle("mlpipeline").rules
    assert {rule.rule_filter.prefix for rule in rules} == set(prefixes)
    for key in (KUBEFLOWS, "arxtune/papers/x"):
        client.put_object("mlpipeline", key, io.BytesIO(b"x"), 1)


def test_the_bucket_of_a_store_of_ones_own_is_made(
    seaweedfs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweedfs.items():
        monkeypatch.setenv(name, value)
    assert ensure_bucket("arxtune") == ["bucket arxtune: created"]
    assert ensure_bucket("arxtune") == []

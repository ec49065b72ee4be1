"""The images, and the whole pipeline in them: confined, the same data and verdict.

Needs root and a Docker Engine (docker.io); the images stand on a base of Debian packages.
"""

import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import dsl, local

from components.shared import images
from pipelines.containers import runner
from tests.pipelines.conftest import ROOT, Finished, finish

pytestmark = pytest.mark.soak
BY_NAME = {"scrape": images.SCRAPE, "data": images.DATA, "llm": images.LLM}
FAILURES = 20


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start a Docker daemon if none answers, and build the images as `make images` does."""
    missing = [tool for tool in ("dockerd", "debootstrap") if shutil.which(tool) is None]
    if missing:
        packages = ["docker.io", "debootstrap"]
        subprocess.run(
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages], check=True
        )
    daemon = None
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        log = (tmp_path_factory.mktemp("docker") / "log").open("w")
        flags = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
        daemon = subprocess.Popen(["dockerd", *flags], stdout=log, stderr=log)
        while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
            assert daemon.poll() is None, Path(log.name).read_text()
            time.sleep(0.5)
    try:
        if subprocess.run(
            ["docker", "image", "inspect", "arxtune-base"], capture_output=True, check=False
        ).returncode:
            subprocess.run(["make", "base-image"], cwd=ROOT, check=True)
        subprocess.run(["make", "images", "BASE=arxtune-base"], cwd=ROOT, check=True)
        yield
    finally:
        if daemon:
            daemon.terminate()
            daemon.wait(60)


def test_the_run_in_containers_has_the_same_data_and_verdict(
    embedded_run: Finished, tmp_path: Path
) -> None:
    before = docker("ps", "--all", "--quiet")  # of others, or of builds that failed
    contained = finish(tmp_path, "--containers")
    assert contained.dataset == embedded_run.dataset
    assert contained.run.verdict["word"] == embedded_run.run.verdict["word"] == "better"
    assert contained.run.released
    assert docker("ps", "--all", "--quiet") == before


@dsl.container_component
def fail():  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(image=images.DATA, command=["python3", "-c", "raise SystemExit(3)"])


@dsl.container_component
def look():  # type: ignore[no-untyped-def]
    code = """
import os, json
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def written(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
print("SEEN", json.dumps({
    "uid": os.getuid(),
    "capabilities": [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")],
    "no new privileges": status["NoNewPrivs"].strip(),
    "root": written("/opt/x"), "tmp": written("/tmp/x"),
}))
"""
    return dsl.ContainerSpec(image=images.DATA, command=["python3", "-c", code])


@dsl.pipeline
def failing():  # type: ignore[no-untyped-def]
    fail()


@dsl.pipeline
def looking():  # type: ignore[no-untyped-def]
    look()


def test_a_container_that_fails_fails_the_run_each_time(tmp_path: Path) -> None:
    for _ in range(FAILURES):
        local.init(runner({}, tmp_path / "state"), pipeline_root=str(tmp_path / "root"))
        with pytest.raises(RuntimeError, match="failing"):
            failing()


def test_a_stage_is_nobody_on_a_read_only_root(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    local.init(runner({}, tmp_path / "state"), pipeline_root=str(tmp_path / "root"))
    looking()
    (seen,) = [line for line in capfd.readouterr().out.splitlines() if "SEEN {" in line]
    assert json.loads(seen.split("SEEN ")[1]) == {
        "uid": 65532 if os.getuid() == 0 else os.getuid(),
        "capabilities": [0, 0, 0],
        "no new privileges": "1",
        "root": "Read-only file system",
        "tmp": None,
    }


# What Triton does at its first launch: compile a C extension against Python.h, and load it.
EXTENSION = '''
import importlib.util, pathlib, subprocess, sysconfig
source, library = pathlib.Path("/tmp/two.c"), "/tmp/two.so"
source.write_text("""
#include <Python.h>
static PyObject *two(PyObject *self, PyObject *none) { return PyLong_FromLong(2); }
static PyMethodDef methods[] = {{"two", two, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "two", "", -1, methods};
PyMODINIT_FUNC PyInit_two(void) { return PyModule_Create(&module); }
""")
include = "-I" + sysconfig.get_paths()["include"]
subprocess.run(["gcc", str(source), "-O3", "-shared", "-fPIC", include, "-o", library], check=True)
spec = importlib.util.spec_from_file_location("two", library)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.two())
'''


def test_the_image_of_the_models_compiles_and_loads_what_triton_does() -> None:
    confined = ["--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--user=65532:65532"]
    confined += ["--security-opt=no-new-privileges", "--tmpfs=/tmp:size=64m,mode=1777,exec"]
    assert docker("run", *confined, images.LLM, "python3", "-c", EXTENSION).strip() == "2"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_image_holds_its_own_stages_and_little_beside_its_packages(name: str) -> None:
    about = json.loads(docker("image", "inspect", BY_NAME[name]))[0]
    assert about["Config"]["User"] == "65532:65532"
    assert about["Config"]["Labels"]["org.opencontainers.image.title"] == f"arxtune/{name}"
    inside = docker(
        "run",
        "--rm",
        "--network",
        "none",
        BY_NAME[name],
        "ls",
        "/opt/arxtune/lib/arxtune/components",
    )
    assert set(inside.split()) - {"__init__.py", "shared"} == set(images.STAGES_OF[name])
    wheels = list((ROOT / "build/wheels" / name).glob("*.whl"))
    needed = sum(entry.file_size for wheel in wheels for entry in zipfile.ZipFile(wheel).infolist())
    size = docker("run", "--rm", "--network", "none", BY_NAME[name], "du", "-sb", "/opt/arxtune")
    assert int(size.split()[0]) < (1.15 if name != "llm" else 1.5) * needed  # llm: with byte code

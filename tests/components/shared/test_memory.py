"""The memory that may be used is the least that any limit above this process leaves."""

from pathlib import Path

import psutil
import pytest

from components.shared import memory

GIB = 1 << 30


def group(folder: Path, limit: str, used: int, cached: int, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit_name, used_name, cache = memory.FILES[2 - version]
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cached}\n{cache} {cached}\n")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def available(root: Path, own: str, monkeypatch: pytest.MonkeyPatch, processes: int = 1) -> int:
    (root / "own").write_text(own)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    return memory.available_memory()


def test_a_container_gets_what_its_group_leaves(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(root / "cgroup", str(GIB), GIB // 2, GIB // 4)
    assert available(root, "0::/\n", monkeypatch) == 3 * GIB // 4
    assert available(root, "0::/\n", monkeypatch, processes=2) == 3 * GIB // 8


def test_the_pods_limit_holds_above_the_containers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(root / "cgroup", "max", GIB, 0)
    group(root / "cgroup/pod", str(GIB), GIB // 2, 0)
    group(root / "cgroup/pod/container", str(2 * GIB), 0, 0)
    assert available(root, "0::/pod/container\n", monkeypatch) == GIB // 2
    assert available(root, "0::/of/the/host\n", monkeypatch) > GIB // 2


def test_version_1_of_control_groups_is_read_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(root / "cgroup/memory/job", str(GIB), GIB // 2, GIB // 4, version=1)
    own = "5:cpu,cpuacct:/job\n4:memory:/job\n"
    assert available(root, own, monkeypatch) == 3 * GIB // 4


@pytest.mark.parametrize("own", ["", "0::/gone\n"])
def test_without_limits_it_is_what_the_machine_has_free(
    root: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    free = psutil.virtual_memory().available
    assert available(root, own, monkeypatch) == pytest.approx(free, rel=0.5)

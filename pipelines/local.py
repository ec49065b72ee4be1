"""Run the pipeline on this machine: kfp.local set up well, with servers for what is embedded."""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared import manifest
from components.shared.errors import ArxtuneError, ConfigError
from components.shared.ledger import read_lineage
from components.shared.lifetime import RUN_PID, wait_for_children
from pipelines.console import Console
from pipelines.profile import EMBEDDED_STORE, STAND_IN, Profile
from pipelines.servers import stand_in_site
from pipelines.store_server import BUCKET, s3_server


@dataclass
class Run:
    """A finished run: where its folder is and how long it took; everything else is read from its
    artifacts."""

    folder: Path
    seconds: float

    @property
    def report(self) -> Path:
        """Return the path of the HTML report."""
        return self.folder / "report.html"

    def folder_of(self, stage: str) -> Path:
        """Return the folder of a stage's artifacts, one file or folder an artifact."""
        (found,) = (self.folder / "artifacts").glob(f"*/{stage}")
        return found

    @property
    def verdict(self) -> dict[str, Any]:
        """Return the verdict, as evaluate wrote it."""
        found: dict[str, Any] = json.loads(
            (self.folder_of("evaluate") / "evaluation/verdict.json").read_text("utf-8")
        )
        return found

    @property
    def lineage(self) -> dict[str, dict[str, Any]]:
        """Return the summary of each stage up to the verdict, by name."""
        return {
            summary["stage"]: summary
            for summary in read_lineage(self.folder_of("evaluate") / "evaluation")
        }

    @property
    def released(self) -> dict[str, Any] | None:
        """Return the entry of the release, or None when nothing was promoted."""
        found = list((self.folder / "artifacts").glob("*/promote/release_folder/release.json"))
        return json.loads(found[0].read_text("utf-8")) if found else None


class StageFailed(ArxtuneError):
    """A stage ended with an error of ours; its line is the message, its status ours."""

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.status = status


class StageCrashed(Exception):
    """A stage ended with a bug; the message is the end of its log."""


def run(
    profile: Profile,
    home: Path,
    papers: Path | None = None,
    pipeline: Callable[..., Any] | None = None,
    triples: Path | None = None,
    *,
    containers: bool = False,
) -> Run:
    """Run the pipeline in `home`; raise ArxtuneError with one line for what a person can mend.

    `papers` is a folder of PDFs that the stand-in site serves instead of the samples; `pipeline` is
    one loaded from compiled YAML, by default the one of this package; `triples` is a file of one's
    own that a run begins with. With `containers` each stage runs in its image.
    """
    started = time.monotonic()
    pipeline = pipeline or _own_pipeline(triples is not None)
    wanted = pipeline.pipeline_spec.root.input_definitions.parameters  # type: ignore[attr-defined]
    own = {"triples": str(triples.absolute())} if triples is not None else {}
    profile = Profile(
        {n: v for n, v in (profile.parameters | own).items() if n in wanted}, profile.settings
    )
    with _home(home) as folder, contextlib.ExitStack() as servers:
        parameters = start_servers(profile, home, papers, servers)
        state = home.absolute() / "state" if containers else None
        try:
            _run_pipeline(pipeline, parameters, folder, state)
        finally:  # what was judged can be read also where promoting failed
            _copy_pages(folder)
    finished = Run(folder, time.monotonic() - started)
    _lay_release(finished, home)
    manifest.write(finished.folder)  # last: `arxtune verify` finds whatever changes from here on
    return finished


def _copy_pages(folder: Path) -> None:
    """Copy the pages for people to where they are found."""
    for page, place in {"report": "evaluate/report", "data-card": "curate/card"}.items():
        for path in folder.glob(f"artifacts/*/{place}"):
            shutil.copy(path, folder / f"{page}.html")


def _lay_release(run: Run, home: Path) -> None:
    """Lay what was released on disk, where one can open it: releases/<name>/<version>."""
    if released := run.released:
        place = home / released["prefix"]
        with tempfile.TemporaryDirectory(dir=home, prefix=".release.") as scratch:
            made = Path(scratch) / "release"
            shutil.copytree(run.folder_of("promote") / "release_folder", made)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                made.rename(place)


@contextlib.contextmanager
def hold(home: Path) -> Iterator[None]:
    """Keep runs out of a home folder; raise ConfigError where one is using it."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"home {home}: another run is using it", "wait, or name another by --home"
            ) from None
        yield


@contextlib.contextmanager
def _home(home: Path) -> Iterator[Path]:
    """Hold the home folder for this run alone, and yield the run's own folder in it."""
    folder = home.absolute() / "runs" / time.strftime("%Y%m%d-%H%M%S")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        (home / "lock").touch()
    except OSError as error:
        raise ConfigError(
            f"home {home}: cannot be written ({error.strerror})", "name another by --home"
        ) from None
    with hold(home):
        folder.mkdir()
        yield folder


def start_servers(
    profile: Profile, home: Path, papers: Path | None, servers: contextlib.ExitStack
) -> dict[str, Any]:
    """Start what the profile asks to have embedded; return the pipeline's parameters with the
    addresses filled in."""
    parameters = dict(profile.parameters)
    if parameters["store"] == EMBEDDED_STORE:
        os.environ.update(servers.enter_context(s3_server(home)))
        parameters["store"] = f"s3://{BUCKET}"
        print(f"store     S3 on loopback, data in {home / 'store'}", flush=True)
    elif "://" not in parameters["store"]:
        parameters["store"] = str(Path(parameters["store"]).absolute())
    if parameters.get("site") == STAND_IN:
        parameters["site"] = servers.enter_context(stand_in_site(home, papers))
        what = f"papers of {papers}" if papers else "invented sample papers"
        print(f"site      stand-in arXiv at {parameters['site']}, {what}", flush=True)
    return {**parameters, "settings": json.dumps(profile.settings, sort_keys=True)}


def _own_pipeline(of_triples: bool) -> Callable[..., Any]:
    from pipelines.arxtune import arxtune
    from pipelines.own_triples import own_triples

    return own_triples if of_triples else arxtune  # type: ignore[no-any-return]


def tried_once(pipeline: Callable[..., Any]) -> Callable[..., Any]:
    """Return the pipeline without the cluster's retries: here a person reads the error at once, and
    runs it again."""
    from google.protobuf import json_format
    from kfp import components

    spec = json_format.MessageToDict(pipeline.pipeline_spec)  # type: ignore[attr-defined]
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return components.load_component_from_text(json.dumps(spec))  # type: ignore[no-any-return]


SAVE_SECONDS = 120  # that a stage may take to save its work when the run is interrupted

# Torch's threads spin while they wait otherwise, which makes them 6 times as slow on a busy
# machine. And glibc maps large tensors anew each time otherwise, where the pages' first touch costs
# as much as the arithmetic.
FOR_TORCH = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
}


def _run_pipeline(
    pipeline: Callable[..., Any], parameters: dict[str, Any], folder: Path, containers: Path | None
) -> None:
    """Run all tasks; `containers` is the folder of what they keep when they run in their images."""
    from kfp import local

    artifacts = folder / "artifacts"
    artifacts.mkdir()
    os.environ[RUN_PID] = str(os.getpid())
    if containers:
        from pipelines.containers import runner

        artifacts.chmod(0o777)  # another user's number works in there
        how = runner(FOR_TORCH, containers)
    else:
        how = local.SubprocessRunner(use_venv=False)
    scratch = tempfile.mkdtemp(
        prefix="arxtune-"
    )  # not below the run: Chromium's sockets need short paths
    os.environ |= {**FOR_TORCH, **os.environ, "TMPDIR": scratch, "PYTHONUNBUFFERED": "1"}
    console = Console(sys.stdout, folder / "run.log")
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(console),
        contextlib.closing(console),
    ):
        warnings.simplefilter("ignore")  # kfp warns that images and resources mean nothing here
        local.init(how, pipeline_root=str(artifacts))
        try:
            with _quoted_interpreter():
                tried_once(pipeline)(**parameters)
        except RuntimeError as error:
            if console.error:
                raise StageFailed(console.error, console.status) from None
            lines = [*console.tail, *traceback.format_exception_only(error)]
            raise StageCrashed("\n".join(lines)) from None
        finally:
            wait_for_children(SAVE_SECONDS)
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _quoted_interpreter() -> Iterator[None]:
    """Quote the interpreter's path, which kfp.local puts into a line of the shell as it is."""
    path = sys.executable
    sys.executable = shlex.quote(path)
    try:
        yield
    finally:
        sys.executable = path

"""The stand-in arXiv, on loopback, ended with the run."""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components.shared.errors import SourceError
from components.shared.lifetime import die_with_parent, terminate

START_SECONDS = 60


@contextlib.contextmanager
def stand_in_site(home: Path, papers: Path | None = None) -> Iterator[str]:
    """Serve the stand-in arXiv, with the sample papers or a folder of PDFs; yield its URL."""
    log, requests = home / "logs" / "site.log", home / "logs" / "requests.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "components.scrape.standin",
        "--port",
        "0",
        "--log",
        str(requests),
    ]
    if papers:
        command += ["--papers", str(papers)]
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C is for the stages, which end first
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        text = ""
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            text = log.read_bytes()[start:].decode("utf-8", "replace")
            if found := re.search(r"http://127\.0\.0\.1:\d+", text):
                yield found.group()
                return
            if ended:
                break
            time.sleep(0.05)
        lines = text.strip().splitlines() or [f"see {log}"]
        reason = lines[-1].removeprefix("arxtune: error: ")
        raise SourceError(f"the stand-in arXiv did not start: {reason}")
    finally:
        terminate(process)

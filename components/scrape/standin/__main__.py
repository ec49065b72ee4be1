"""Serve a stand-in arXiv on loopback until SIGTERM or the end of the process that started it.

    python -m components.scrape.standin --port 8000 [--papers FOLDER] [--log requests.jsonl]
[--fault /pdf/=429:1,reset]

Prints its URL, http://127.0.0.1:PORT, on one line as soon as it listens.
"""

import os
import threading
from pathlib import Path

from components.scrape.standin.corpus import folder_corpus, sample_corpus
from components.scrape.standin.live import MOODS, live_corpus
from components.scrape.standin.live import ROBOTS as LIVE_ROBOTS
from components.scrape.standin.server import ROBOTS, StandIn
from components.shared.errors import ArxtuneError
from components.shared.lifetime import RUN_PID, end_with_run, exit_cleanly_on_sigterm
from components.shared.stage import OneLineParser, fail


def main() -> None:
    """Parse the flags and serve."""
    parser = OneLineParser(
        prog="python -m components.scrape.standin", description="Serve a stand-in arXiv."
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0 takes a free one (default: 0)"
    )
    parser.add_argument(
        "--papers", type=Path, help="serve every PDF of this folder instead of the sample papers"
    )
    parser.add_argument(
        "--profile",
        choices=("samples", "live-like"),
        default="samples",
        help=(
            "live-like: 110 papers a day, 13%% of them open, the robots.txt and moods of "
            "arXiv in 2026"
        ),
    )
    parser.add_argument("--log", type=Path, help="append one JSON line a request to this file")
    fault_help = (
        "what the next requests of a path meet, for example /pdf/=429:1,reset; see "
        "faults.py; may be repeated"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="PATH=FAULT,...", help=fault_help
    )
    given = parser.parse_args()
    if wrong := [text for text in given.fault if not text.startswith("/") or "=" not in text]:
        parser.error(f"--fault {wrong[0]}: must be PATH=FAULT,...")
    os.environ.setdefault(RUN_PID, str(os.getppid()))
    exit_cleanly_on_sigterm()
    end_with_run()
    try:
        corpus, robots, faults = sample_corpus(), ROBOTS, dict[str, list[str]]()
        if given.profile == "live-like":
            corpus, robots, faults = live_corpus(), LIVE_ROBOTS, dict(MOODS)
        if given.papers:
            corpus = folder_corpus(given.papers)
        for text in given.fault:
            path, _, told = text.partition("=")
            faults[path] = told.split(",")
        with StandIn(corpus, faults=faults, robots=robots, port=given.port, log=given.log) as site:
            print(site.url, flush=True)
            threading.Event().wait()
    except ArxtuneError as error:
        fail(error)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

"""One of the processes that train together: torchrun starts it, on this machine or in the pods of a TrainJob.

    torchrun --nproc-per-node 4 -m components.finetune.worker STORE requests/<key>

What is to be trained waits in the store, and the adapter goes there. It ends with 0 when the adapter is in the store,
with 143 when it was asked to stop and has left a checkpoint, and with 1 and one line for an error of ours.

    requests/<key>/job.json          settings, base, the release to go on from, and the hash of the adapter to be
    requests/<key>/examples.jsonl    the training examples
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from components.finetune import processes
from components.finetune.base import Base
from components.finetune.config import TINY, FinetuneConfig
from components.finetune.job import Job
from components.shared.bases import TINY_FOLDER
from components.shared.errors import ConfigError, StoreError
from components.shared.lifetime import RUN_PID, end_with_run, exit_cleanly_on_sigterm
from components.shared.records import Example, digest, read_records, write_atomically, write_records
from components.shared.stage import fail, known_error
from components.shared.store import Store, open_store

# A bar has no end of line: what the stage passes on would follow on it. Read when datasets is imported.
QUIET = {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
GRACE = 5.0  # seconds in which process 0 tells an error that all have; any other process then tells its own


def put_request(job: Job) -> str:
    """Write what workers need to train into the store, and return its name; the same twice is one.

    The base's identity and the release's entry are settled: a worker that looked for itself could find others.
    """
    config = job.config
    about = {
        "config": {name: value for name, value in config.to_dict().items() if name != "store"},
        "base": asdict(job.base) | {"path": "" if config.base_model == TINY else job.base.path},
        "start": job.start and dict(job.start),
        "key": job.key,
    }
    request = f"requests/{digest([about, job.train_digest])}"
    if job.store.files_of(request) is None:
        with tempfile.TemporaryDirectory(prefix="arxtune-request-") as name:
            write_atomically(Path(name) / "job.json", json.dumps(about, sort_keys=True))
            write_records(Path(name) / "examples.jsonl", job.examples)
            job.store.put_folder(request, Path(name))
    return request


def get_job(store: Store, url: str, request: str, folder: Path) -> Job:
    """Return the training that a request asks for; what it needs is fetched below `folder`, once on each node."""
    with processes.first_on_node() as first:
        if first and not store.get_folder(request, folder / "request"):
            raise StoreError(
                f"store {url}: there is no whole {request}", "start the finetune stage again"
            )
        about = json.loads((folder / "request/job.json").read_text("utf-8"))
        base = Base(**about["base"])
        if not base.path:
            base = replace(base, path=str(TINY_FOLDER))
    config = FinetuneConfig(**about["config"], store=url)
    examples = list(read_records(folder / "request/examples.jsonl", Example))
    job = Job(config, store, base, examples, about["start"])
    if job.key != about["key"]:
        problem = f"{request}: asks for adapter {about['key'][:12]}, this worker would train {job.key[:12]}"
        raise ConfigError(
            problem, "run stage and workers in the same image: their libraries differ"
        )
    return job


def work(url: str, request: str) -> None:
    """Train what the request asks for, together with the other processes."""
    store = open_store(url)
    with processes.shared_folder("arxtune-worker-") as folder:
        job = get_job(store, url, request, folder)
        if processes.gather(store.files_of(job.place))[0] is None:
            job.run()
        processes.part()


def main() -> None:
    """Run as one of the processes that torchrun started."""
    os.environ |= QUIET
    os.environ[RUN_PID] = str(os.getppid())  # no worker outlives the launcher that would end it
    exit_cleanly_on_sigterm()
    end_with_run()
    if processes.rank() > 0:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # as long as the process
    try:
        processes.join()
        work(*sys.argv[1:])
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        if processes.rank() > 0:
            time.sleep(GRACE)  # the launcher ends this process when process 0 has the same to tell
        fail(known)


if __name__ == "__main__":
    main()

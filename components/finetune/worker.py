"""One of the processes that train together, on this machine or in the pods of a TrainJob.

    accelerate launch --multi_gpu --num_processes 4 -m components.finetune.worker STORE
    requests/<key>

What is to be trained waits in the store, and the adapter goes there:

    requests/<key>/job.json          settings, base, and the release to go on from
    requests/<key>/examples.jsonl    the training examples

It ends with 0 when the adapter is in the store, with 128 + signal when it was asked to stop and
has left a checkpoint, and with 1 and one line for an error of ours.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from components.finetune import distributed
from components.finetune.base import Base
from components.finetune.config import TINY, FinetuneConfig
from components.finetune.train import Training, run
from components.shared.errors import ConfigError, StoreError
from components.shared.lifetime import RUN_PID, end_with_run, exit_cleanly_on_sigterm
from components.shared.records import Example, read_records, write_atomically, write_records
from components.shared.releases import Release
from components.shared.stage import fail, known_error
from components.shared.store import Store, open_store

# A bar has no end of line: what the stage passes on would follow on it. Read when datasets is
# imported.
QUIET = {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
GRACE_S = 5.0  # in which process 0 tells an error that all have; later another tells its own


def put_request(training: Training) -> str:
    """Write what workers need into the store, and return its name; the same twice is one."""
    config = training.config.to_dict()
    del config["store"]  # which a worker may know by another name
    base = asdict(training.base)
    if training.config.base_model == TINY:
        base["path"] = TINY  # which every worker has beside its code
    about = {"config": config, "base": base, "start": training.start and training.start.to_dict()}
    request = f"requests/{training.key}"
    with tempfile.TemporaryDirectory(prefix="arxtune-request-") as name:
        write_atomically(Path(name) / "job.json", json.dumps(about, sort_keys=True))
        write_records(Path(name) / "examples.jsonl", training.examples)
        training.store.put_folder(request, Path(name))
    return request


def get_request(store: Store, url: str, request: str, folder: Path) -> Training:
    """Return the training of a request; each node fetches what it needs once, below `folder`."""
    with distributed.first_on_node() as first:
        if first and not store.get_folder(request, folder / "request"):
            problem = f"store {url}: request {request} is incomplete"
            raise StoreError(problem, "start the finetune stage again")
    about = json.loads((folder / "request/job.json").read_text("utf-8"))
    config = FinetuneConfig.build(about["config"], {"store": url})
    examples = list(read_records(folder / "request/examples.jsonl", Example))
    start = about["start"] and Release.from_dict(about["start"])
    training = Training(config, store, Base(**about["base"]), examples, start)
    asked = request.rpartition("/")[2]
    if training.key != asked:
        problem = f"{request}: this worker would train adapter {training.key[:12]} instead"
        raise ConfigError(problem, "run stage and workers in the same image")
    return training


def main() -> None:
    """Run as one of the processes that torchrun started."""
    os.environ |= QUIET
    os.environ[RUN_PID] = str(os.getppid())  # no worker outlives the launcher that would end it
    exit_cleanly_on_sigterm()
    end_with_run()
    if distributed.rank() > 0:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # as long as the process
    url, request = sys.argv[1:]
    try:
        distributed.init_process_group()
        store = open_store(url)
        with distributed.shared_folder("arxtune-worker-") as folder:
            training = get_request(store, url, request, folder)
            there = store.files_of(training.prefix) is not None
            if not distributed.all_gather(there)[0]:
                run(training)
            distributed.destroy_process_group()
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        if distributed.rank() > 0:
            # The launcher ends this process when process 0 has the same to tell.
            time.sleep(GRACE_S)
        fail(known)


if __name__ == "__main__":
    main()

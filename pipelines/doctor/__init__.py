"""Look at everything that a run needs, here and on the cluster, all at once and within three seconds."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Mapping

from pipelines.doctor import here, kubernetes, services
from pipelines.doctor.finding import Finding, Surroundings

DEADLINE_SECONDS = (
    2.3  # for all checks together; the rest of the three seconds is for Python itself
)
CHECKS: dict[str, Callable[[Surroundings], Finding]] = {
    "python": here.python,
    "disk": here.disk,
    "memory": here.memory,
    "browser": here.browser,
    "s3 server": here.s3_server,
    "gpu": here.gpu,
    "store read": services.store_read,
    "store write": services.store_write,
    "clock": services.clock,
    "image": services.image,
    "teacher key": services.teacher_key,
    "teacher model": services.teacher_model,
    "hub": services.hub,
    "kubeflow": services.kfp,
    "kubeflow store": services.kfp_store,
    "kubeflow version": services.kfp_version,
    "kubeflow token": services.kfp_token,
    **kubernetes.KUBERNETES_CHECKS,
}
MARKS = {"ok": "ok  ", "fail": "FAIL", "off": "-   "}


def examine(
    surroundings: Surroundings, checks: Mapping[str, Callable[[Surroundings], Finding]] = CHECKS
) -> dict[str, Finding]:
    """Run all checks at once; one that has not ended by the deadline is a finding too."""
    found: dict[str, Finding] = {}

    def run(name: str) -> None:
        try:
            found[name] = checks[name](surroundings)
        except Exception as error:  # whatever breaks a check is what the check has found
            found[name] = Finding(
                "fail", f"{type(error).__name__}: {error}", "report this as a bug of arxtune"
            )

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in checks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Finding(
        "fail",
        f"no answer within {DEADLINE_SECONDS} s",
        "is the address right, and the network up?",
    )
    return {name: found.get(name, late) for name in checks}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune doctor` to the command line."""
    parser = commands.add_parser(
        "doctor", help="look at all that a run needs, and say what to do about it"
    )
    for name, default in vars(Surroundings()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, default=default, metavar=name.upper(), help=f"(default: {default or 'none'})"
        )
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    found = examine(
        Surroundings(**{name: getattr(arguments, name) for name in vars(Surroundings())})
    )
    for name, finding in found.items():
        print(f"{MARKS[finding.state]} {name:<16} {finding.detail}")
        if finding.fix and finding.state != "ok":
            print(f"     {'':<16} -> {finding.fix}")
    failed = sum(finding.state == "fail" for finding in found.values())
    print(f"{len(found)} checks in {time.monotonic() - started:.1f} s, {failed} failed")
    sys.exit(1 if failed else 0)

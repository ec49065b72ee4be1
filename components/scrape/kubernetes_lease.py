"""The lease of a cluster: a coordination.k8s.io/v1 Lease that all pods of a namespace share.

Every change names the resourceVersion that it rests on, so of two pods that take the lease at
once one gets a conflict. A holder that died is noticed as others of Kubernetes are: by a lease
that did not change for as long as it was to last, on the clock of whoever waits, so that clocks
need not agree. What the lease remembers between requests is in its annotations; there the clocks
of the nodes must agree to well under the pace, as NTP keeps them."""

import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from components.scrape.lease import Lease, PaceState
from components.shared.cluster import Cluster, in_cluster
from components.shared.http import FetchError, Outcome

STATE = "arxtune.io/pace"
POLL_S = 0.5  # between looks at a lease that another one holds
GRANT = (
    "grant get, create and update on leases.coordination.k8s.io to this pod's account, "
    "or set scrape.lease=file where one pod alone scrapes"
)


class KubernetesLease(Lease):
    """A Lease object, held by the one whose name it carries."""

    def __init__(
        self, cluster: Cluster, name: str, duration_s: float, poll_s: float = POLL_S
    ) -> None:
        from kubernetes import client

        self.cluster, self.name = cluster, name
        self.duration_s, self.poll_s = duration_s, poll_s
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._api = client.CoordinationV1Api(cluster.client)
        self._held: Any = None  # the object as we wrote it last
        self._renewed = 0.0

    def _acquire(self) -> PaceState:
        seen, since = "", time.monotonic()
        while True:
            lease = self._read()
            version = lease.metadata.resource_version
            if version != seen:
                seen, since = version, time.monotonic()
            expired = time.monotonic() - since > float(lease.spec.lease_duration_seconds or 0)
            if not lease.spec.holder_identity or expired:
                state = _state_of(lease)
                if self._replace(lease, state, self.holder):
                    return state
                continue  # another one was quicker
            time.sleep(self.poll_s * random.uniform(0.5, 1.5))

    def _write(self, state: PaceState) -> None:
        if not self._replace(self._held, state, self.holder):
            problem = "another pod took it: this one was away for too long"
            raise FetchError("lease lost", Outcome.RETRY, problem)

    def _release(self, state: PaceState) -> None:
        self._replace(self._held, state, "")  # a conflict: it is no longer ours to release

    def renew(self) -> None:
        """Say that a long request still lasts, a few times within the time that the lease is
        held for."""
        if time.monotonic() - self._renewed > self.duration_s / 4:
            self._write(_state_of(self._held))

    def _read(self) -> Any:
        """Return the lease; make it when there is none."""
        found = self._call("read", self._api.read_namespaced_lease, 404, name=self.name)
        if found is not None:
            return found
        body = {
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/part-of": "arxtune"}},
            "spec": {},
        }
        made = self._call("create", self._api.create_namespaced_lease, 409, body=body)
        return made if made is not None else self._read()

    def _replace(self, lease: Any, state: PaceState, holder: str) -> bool:
        """Write the lease; return False when it changed since it was read."""
        now = datetime.now(UTC)
        held = lease.metadata.annotations or {}
        lease.metadata.annotations = {**held, STATE: state.to_json()}
        if holder and holder != lease.spec.holder_identity:
            lease.spec.acquire_time = now
            lease.spec.lease_transitions = (lease.spec.lease_transitions or 0) + 1
        lease.spec.holder_identity, lease.spec.renew_time = holder, now
        lease.spec.lease_duration_seconds = max(1, round(self.duration_s))
        written = self._call(
            "update", self._api.replace_namespaced_lease, 409, name=self.name, body=lease
        )
        if written is not None:
            self._held, self._renewed = written, time.monotonic()
        return written is not None

    def _call(self, verb: str, method: Callable[..., Any], absent: int, **more: Any) -> Any:
        return self.cluster.call(
            f"cannot {verb} the Lease {self.name}", method, absent=(absent,), **more
        )


def _state_of(lease: Any) -> PaceState:
    return PaceState.from_json((lease.metadata.annotations or {}).get(STATE, ""))


def in_cluster_lease(site: str, duration_s: float) -> KubernetesLease:
    """Return the lease of this pod's namespace for a site."""
    cluster = in_cluster("scrape.lease=kubernetes", "take scrape.lease=file", GRANT)
    return KubernetesLease(cluster, f"arxtune-requests-{site}", duration_s)

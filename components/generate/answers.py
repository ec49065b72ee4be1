"""Answers already paid for, in the store under the hash of their request."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from components.generate.teacher import Payload, Reply
from components.shared.records import digest
from components.shared.store import Store

READERS = 16  # answers read from the store at a time


class Answers:
    """Reads and writes answers; an answer is in the store before anything uses it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def key(payload: Payload) -> str:
        """Return the name of the answer to a payload."""
        return digest(payload)

    def get(self, key: str) -> Reply | None:
        """Return an answer, or None when it was never paid for."""
        row = self._store.get_json(f"answers/{key}.json")
        return None if row is None else Reply(**row)

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer."""
        self._store.put_json(f"answers/{key}.json", asdict(reply))

    def get_all(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Return those of the answers that are there."""
        names = list(dict.fromkeys(keys))
        with ThreadPoolExecutor(READERS) as pool:
            found = zip(names, pool.map(self.get, names), strict=True)
            return {name: reply for name, reply in found if reply is not None}

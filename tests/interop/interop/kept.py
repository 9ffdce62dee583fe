"""What arrived at the end of the way: requests as they came, and how many records they hold."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass

from interop import otlp
from interop.sabotage import Sabotage


@dataclass(frozen=True)
class Recorded:
    """One request as it came, after decompression."""

    signal: str
    transport: str
    content_type: str
    body: bytes
    sha256: str


class Kept:
    """The requests that an end of the way has taken, damaged where a sabotage says so."""

    def __init__(self, sabotage: str) -> None:
        self._sabotage = Sabotage(sabotage)
        self._requests: list[Recorded] = []
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._ids: dict[str, Counter[str]] = {signal: Counter() for signal in otlp.SIGNALS}
        self._counted_len = 0

    def requests(self) -> list[Recorded]:
        """Everything received so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def record_counts(self) -> Counter[str]:
        """Counts the records received so far, by signal; for one thread at a time."""
        requests = self.requests()
        for request in requests[self._counted_len :]:
            message = otlp.decode(request.signal, request.body, request.content_type)
            self._counts[request.signal] += otlp.record_count(request.signal, message)
            self._ids[request.signal].update(otlp.record_ids(request.signal, message))
        self._counted_len = len(requests)
        return self._counts.copy()

    def lacks(self, counts: Counter[str], ids: dict[str, Counter[str]] | None) -> bool:
        """Whether some of these records are not here yet, doubles of others or not."""
        if self.record_counts().total() < counts.total():
            return True
        # Some senders give no ids.
        return any(of_signal - self._ids[signal] for signal, of_signal in (ids or {}).items())

    def torn(self) -> list[str]:
        """What has a beginning and no end; nothing where requests come one by one."""
        return []

    def keep(self, signal: str, transport: str, content_type: str, body: bytes) -> None:
        """Keeps one request; called for every export."""
        for kept_type, kept in self._sabotage.apply(signal, content_type, body):
            digest = hashlib.sha256(kept).hexdigest()
            with self._lock:
                self._requests.append(Recorded(signal, transport, kept_type, kept, digest))

    def forget(self) -> None:
        """Drops everything received so far."""
        with self._lock:
            self._requests.clear()

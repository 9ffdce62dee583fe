"""Damage done on purpose to what the recorder keeps: each comparison must notice it."""

from __future__ import annotations

import json
import threading

from google.protobuf.message import Message

from interop import otlp

MODES = {
    "none": "keep everything as it came",
    "lose": "one record of each signal is lost",
    "alter": "one record of each signal has another time stamp",
    "repeat": "one request of each signal is kept twice",
    "misname": "one request of each signal that came as JSON has a field more, which OTLP does not have",
    "rewrite": "the content stays equal, the bytes do not (only a Red phase forbids that)",
}


class Sabotage:
    """Damages the first request of each signal that has records, once."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._done: set[str] = set()
        self._lock = threading.Lock()

    def apply(self, signal: str, content_type: str, body: bytes) -> list[tuple[str, bytes]]:
        """Gives what to keep in place of this body: content types and bodies."""
        intact = (content_type, body)
        with self._lock:
            if self._mode == "none" or signal in self._done:
                return [intact]
            if self._mode == "misname" and not otlp.is_json(content_type):
                return [intact]
            request = otlp.decode(signal, body, content_type)
            if otlp.record_count(signal, request) == 0:
                return [intact]
            self._done.add(signal)
        if self._mode == "repeat":
            return [intact, intact]
        if self._mode == "misname":
            return [(content_type, _with_unknown_field(body))]
        if self._mode == "lose":
            _lose_first(signal, request)
        elif self._mode == "alter":
            item = next(otlp.record_items(signal, request))
            name = "start_time_unix_nano" if signal == "traces" else "time_unix_nano"
            setattr(item, name, getattr(item, name) + 1)
        else:
            # Field 1007 of the request, which no version of OTLP has, with nothing in it.
            request.MergeFromString(b"\xfa\x3e\x00")
        return [("application/x-protobuf", request.SerializeToString())]


def _with_unknown_field(body: bytes) -> bytes:
    """The same JSON with one more field in the first of its containers."""
    document = json.loads(body)
    next(iter(document.values()))[0]["schemaURL"] = ""
    return json.dumps(document).encode() + b"\n"


def _lose_first(signal: str, request: Message) -> None:
    for _, _, items in otlp.scopes(signal, request):
        holder = items
        if signal == "metrics":
            kinds = ((metric, metric.WhichOneof("data")) for metric in items)
            lists = (getattr(metric, kind).data_points for metric, kind in kinds if kind)
            holder = next((points for points in lists if points), [])
        if holder:
            del holder[0]
            return

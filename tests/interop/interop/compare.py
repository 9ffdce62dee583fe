"""Compares what went into the server under test with what came out of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from interop import otlp
from interop.kept import Recorded
from interop.senders import Expected
from interop.wire import Exchange

EXAMPLE_LEN = 300


@dataclass
class Content:
    """The records of some requests, as values that can be compared."""

    counts: Counter[str] = field(default_factory=Counter)
    ids: dict[str, Counter[str]] = field(default_factory=dict)
    records: dict[str, Counter[Any]] = field(default_factory=dict)
    sha256: Counter[str] = field(default_factory=Counter)

    def add(self, signal: str, message: Message, body: bytes) -> None:
        """Adds one request; the message is changed by this."""
        self.counts[signal] += otlp.record_count(signal, message)
        self.ids.setdefault(signal, Counter()).update(otlp.record_ids(signal, message))
        self.records.setdefault(signal, Counter()).update(otlp.records(signal, message))
        self.sha256[hashlib.sha256(body).hexdigest()] += 1

    @property
    def total(self) -> int:
        """All records of all signals."""
        return sum(self.counts.values())


def sent_content(exchanges: Iterable[Exchange]) -> Content:
    """The records that were told to be accepted."""
    content = Content()
    for exchange in exchanges:
        signal = otlp.signal_of_path(exchange.path)
        if signal and exchange.is_ok:
            message = otlp.decode(signal, exchange.request, exchange.request_type)
            content.add(signal, message, exchange.request)
    return content


def received_content(requests: Iterable[Recorded]) -> Content:
    """The records that the recorder keeps."""
    content = Content()
    for request in requests:
        message = otlp.decode(request.signal, request.body, request.content_type)
        content.add(request.signal, message, request.body)
    return content


def without_retried(exchanges: list[Exchange]) -> tuple[list[Exchange], int]:
    """Leaves out requests that got no answer and were sent again until they got one, and counts them."""
    accepted = {exchange.request for exchange in exchanges if exchange.is_ok}
    kept = [
        exchange
        for exchange in exchanges
        if exchange.status != "none" or exchange.request not in accepted
    ]
    return kept, len(exchanges) - len(kept)


def answer_problems(exchanges: list[Exchange], *, is_strict: bool) -> list[str]:
    """Finds answers that are not a complete success in the request's own content type.

    A complete success leaves `partial_success` unset; the Collector sends an empty one, which is
    let pass unless `is_strict`.
    """
    problems: Counter[str] = Counter()
    for exchange in exchanges:
        signal = otlp.signal_of_path(exchange.path)
        where = f"{exchange.path} answered"
        if signal is None:
            problems[f"unknown path {exchange.path}"] += 1
        elif not exchange.is_ok:
            problems[f"{where} {exchange.status} {exchange.status_message}"] += 1
        elif exchange.is_grpc and not exchange.response_type.startswith("application/grpc"):
            problems[f"{where} with type {exchange.response_type!r}"] += 1
        elif not exchange.is_grpc and _type(exchange.response_type) != _type(exchange.request_type):
            problems[f"{where} {exchange.request_type} with {exchange.response_type!r}"] += 1
        else:
            answer = otlp.decode_response(signal, exchange.response, exchange.response_type)
            partial = answer.HasField("partial_success")
            if partial and (is_strict or answer.partial_success.ByteSize() > 0):
                problems[f"{where} with a partial success: {answer}"] += 1
    return [f"{text} ({count} times)" for text, count in problems.items()]


def _type(content_type: str) -> str:
    return content_type.split(";", maxsplit=1)[0].strip()


def encoding_problems(encoding: str, exchanges: list[Exchange]) -> list[str]:
    """Finds requests that were not compressed as the scenario is named."""
    others = Counter(exchange.encoding for exchange in exchanges if exchange.encoding != encoding)
    return [f"requests came with encodings {dict(others)}, not {encoding}"] if others else []


def sent_problems(expected: Expected, sent: Content) -> list[str]:
    """Finds what the sender should have sent but was not accepted, and the other way round."""
    problems = []
    if expected.counts != +sent.counts:
        problems.append(f"accepted {dict(sent.counts)}, expected {dict(expected.counts)}")
    for signal, ids in (expected.ids or {}).items():
        problems += _difference(f"{signal} by id, accepted", ids, sent.ids.get(signal, Counter()))
    return problems


def content_problems(expected: Expected, sent: Content, received: Content) -> list[str]:
    """Finds records that were lost, doubled or changed on the way."""
    problems = []
    for signal in otlp.SIGNALS:
        empty: Counter[Any] = Counter()
        if expected.ids is not None:
            problems += _difference(
                f"{signal} by id", expected.ids[signal], received.ids.get(signal, empty)
            )
        problems += _record_difference(
            signal, sent.records.get(signal, empty), received.records.get(signal, empty)
        )
    return problems


def without_doubles(received: Content, sent: Content) -> tuple[Content, int]:
    """Takes out what was sent but came oftener than that; gives the rest and how many they were.

    What was never sent stays: it is no double.
    """
    sha256 = _capped(received.sha256, sent.sha256)
    rest, doubles = Content(received.counts.copy(), {}, {}, sha256), 0
    for signal, records in received.records.items():
        rest.records[signal] = _capped(records, sent.records.get(signal, Counter()))
        rest.ids[signal] = _capped(received.ids[signal], sent.ids.get(signal, Counter()))
        doubles_of_signal = (records - rest.records[signal]).total()
        rest.counts[signal] -= doubles_of_signal
        doubles += doubles_of_signal
    return rest, doubles


def _capped(counts: Counter[Any], most: Counter[Any]) -> Counter[Any]:
    return Counter({key: min(count, most.get(key, count)) for key, count in counts.items()})


def handed_on_problems(
    exchanges: list[Exchange], received: Content, *, are_doubles_allowed: bool
) -> list[str]:
    """Finds where the files differ from what the GopherShip that writes them was sent.

    A request whose answer the sender did not wait for may be in the files as often as it was sent.
    """
    if are_doubles_allowed:
        exchanges, _unanswered = without_retried(exchanges)
        received, _doubles = without_doubles(received, sent_content(exchanges))
    problems = answer_problems(exchanges, is_strict=True)
    sent = sent_content(exchanges)
    for signal in otlp.SIGNALS:
        empty: Counter[Any] = Counter()
        found = _record_difference(
            signal, sent.records.get(signal, empty), received.records.get(signal, empty)
        )
        problems += [f"in the files: {problem}" for problem in found]
    return problems


def byte_problems(sent: Content, received: Content) -> list[str]:
    """Finds requests whose bytes are not the ones that the client sent."""
    return _difference("requests by SHA-256", sent.sha256, received.sha256)


def _difference(what: str, expected: Counter[str], actual: Counter[str]) -> list[str]:
    missing, extra = expected - actual, actual - expected
    if not missing and not extra:
        return []
    text = f"{what}: {missing.total()} missing, {extra.total()} too many"
    return [f"{text}; for example {next(iter(missing or extra))}"]


def _record_difference(signal: str, sent: Counter[Any], received: Counter[Any]) -> list[str]:
    missing, extra = sent - received, received - sent
    if not missing and not extra:
        return []
    problem = f"{signal} by content: {missing.total()} missing, {extra.total()} too many"
    example = next(iter(missing or extra))
    record_id = otlp.id_of(signal, example)
    twin = next((record for record in extra if otlp.id_of(signal, record) == record_id), example)
    if twin == example:
        return [f"{problem}; for example {otlp.describe(signal, example)[:EXAMPLE_LEN]}"]
    names = ("resource", "scope", "metric") if len(example) == 4 else ("resource", "scope")
    parts = [name for name, left, right in zip(names, example, twin, strict=False) if left != right]
    before, after = otlp.describe(signal, example), otlp.describe(signal, twin)
    if before != after:
        pairs = enumerate(zip(before, after, strict=False))
        start = max(0, next((i for i, (left, right) in pairs if left != right), 0) - 40)
        parts.append(
            f"record, sent ...{before[start : start + EXAMPLE_LEN]}"
            f" ... received ...{after[start : start + EXAMPLE_LEN]}"
        )
    return [f"{problem}; for example {record_id} differs in " + ", ".join(parts)]

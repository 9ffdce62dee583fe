"""The scenarios: who sends, in which zone, and what stands behind GopherShip."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from interop import compare, otlp
from interop.lab import Lab, Tools
from interop.processes import LabError
from interop.senders import SENDERS, Expected, Sender

ARRIVAL_SECONDS = 30
SETTLE_SECONDS = 0.4
"""How long to listen for records that must not come: doubles, or anything at all in Red."""
ZONE_SECONDS = 1.0


@dataclass
class Outcome:
    """What came of one scenario."""

    sent: int
    received: int
    problems: list[str]
    seconds: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    backend: str
    run: Callable[[Lab], Outcome]

    def play(self, tools: Tools) -> Outcome:
        """Runs the scenario in a lab of its own; a failure of any part becomes a problem."""
        start = time.monotonic()
        try:
            lab = Lab(tools, self.name, self.backend)
            try:
                outcome = self.run(lab)
            finally:
                lab.close()
        except Exception as error:  # a broken scenario must not keep the others from running
            outcome = Outcome(0, 0, [f"{type(error).__name__}: {error}"])
        outcome.seconds = time.monotonic() - start
        return outcome


def all_scenarios() -> list[Scenario]:
    """Every scenario, in the order of the table."""
    by_name = {sender.name: sender for sender in SENDERS}
    scenarios = [Scenario(f"Green: {s.name}", "recorder", _green(s)) for s in SENDERS]
    scenarios += [Scenario(f"Red: {s.name}", "recorder", _red(s)) for s in SENDERS]
    python, generator = by_name["Python SDK, gRPC"], by_name["telemetrygen, gRPC"]
    json, node = by_name["Node.js SDK, HTTP JSON"], by_name["Node.js SDK, gRPC"]
    for sender in (python, json):
        scenarios += [
            Scenario(f"Green, OTLP/HTTP out: {sender.name}", "recorder-http", _green(sender)),
            Scenario(f"Red, OTLP/HTTP out: {sender.name}", "recorder-http", _red(sender)),
        ]
    for sender in (python, json, generator):
        scenarios.append(
            Scenario(f"Green, Collector behind: {sender.name}", "collector", _green(sender))
        )
    # No JSON to rotel: in a self-test it would read that itself, and it does not read all of it.
    for sender in (python, node, generator):
        scenarios.append(Scenario(f"Green, rotel behind: {sender.name}", "rotel", _green(sender)))
    scenarios += [
        Scenario(
            f"Green, Collector (HTTP) behind: {python.name}", "collector-http", _green(python)
        ),
        Scenario("Green, Red, Green: all senders at once", "recorder", _all_at_once),
    ]
    return scenarios


def _green(sender: Sender) -> Callable[[Lab], Outcome]:
    def run(lab: Lab) -> Outcome:
        expected = sender.send(lab, "run")
        _wait_for_arrival(lab, expected)
        return _outcome(lab, expected, [], sender, are_bytes_kept=False)

    return run


def _red(sender: Sender) -> Callable[[Lab], Outcome]:
    def run(lab: Lab) -> Outcome:
        lab.override("red")
        expected = sender.send(lab, "run")
        problems = []
        if not lab.tools.is_self_test:
            time.sleep(SETTLE_SECONDS)
            if early := len(lab.recorder.requests()):
                problems.append(f"{early} requests reached the backend in Red")
        lab.override("auto")
        _wait_for_arrival(lab, expected)
        return _outcome(lab, expected, problems, sender, are_bytes_kept=not sender.is_json)

    return run


def _all_at_once(lab: Lab) -> Outcome:
    """Runs all senders side by side while the zone is switched to and fro."""
    is_over = threading.Event()

    def switch_zones() -> None:
        while not is_over.wait(ZONE_SECONDS):
            lab.override("red")
            is_over.wait(ZONE_SECONDS)
            lab.override("auto")

    with ThreadPoolExecutor(len(SENDERS) + 1) as pool:
        switching = pool.submit(switch_zones)
        try:
            sending = [
                pool.submit(sender.send, lab, f"run-{index}")
                for index, sender in enumerate(SENDERS)
            ]
            parts = [future.result() for future in sending]
        finally:
            is_over.set()
        switching.result()
    ids: dict[str, Counter[str]] = {signal: Counter() for signal in otlp.SIGNALS}
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
        for signal, of_signal in (part.ids or {}).items():
            ids[signal].update(of_signal)
    expected = Expected(counts, ids)
    _wait_for_arrival(lab, expected)
    return _outcome(lab, expected, [], None, are_bytes_kept=False)


def _wait_for_arrival(lab: Lab, expected: Expected) -> None:
    """Waits until everything is there, or for too long; the comparison says what is missing."""
    seconds = 2 if lab.tools.sabotage != "none" else ARRIVAL_SECONDS
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if lab.recorder.record_counts().total() >= expected.counts.total():
            break
        time.sleep(0.05)
    time.sleep(SETTLE_SECONDS)


def _outcome(
    lab: Lab,
    expected: Expected,
    problems: list[str],
    sender: Sender | None,
    *,
    are_bytes_kept: bool,
) -> Outcome:
    """Stops GopherShip and compares; `sender` is None when several sent."""
    try:
        lab.stop_gophership()
    except LabError as error:
        problems.append(str(error))
    exchanges = lab.grpc.exchanges() + lab.http.exchanges()
    sent = compare.sent_content(exchanges)
    received = compare.received_content(lab.recorder.requests())
    problems += compare.answer_problems(exchanges, is_strict=not lab.tools.is_self_test)
    if sender is not None:
        problems += compare.encoding_problems(sender.encoding, exchanges)
    problems += compare.sent_problems(expected, sent)
    problems += compare.content_problems(expected, sent, received)
    if are_bytes_kept:
        problems += compare.byte_problems(sent, received)
    counted = lab.debug_counts()
    if counted is not None and counted != +expected.counts:
        problems.append(f"the Collector counted {dict(counted)}, not {dict(expected.counts)}")
    return Outcome(sent.total, received.total, problems)

"""The scenarios: who sends, in which zone, and what stands behind GopherShip."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from interop import compare, otlp
from interop.lab import Lab, Tools
from interop.processes import LabError, wait_until
from interop.senders import BATCH_MAX, ODD_VALUES, SENDERS, Expected, Sender

ARRIVAL_SECONDS = 30
SETTLE_SECONDS = 0.4
"""How long to listen for records that must not come: doubles, or anything at all in Red."""
ZONE_SECONDS = 1.0
OUTAGE_SECONDS = 80
# A vault tells its gauges twice a second.
GAUGE_SECONDS = 1.5
"""Two runs, of which each may wait for `patience` time and again."""


@dataclass
class Outcome:
    """What came of one scenario."""

    sent: int
    received: int
    problems: list[str]
    seconds: float = 0.0
    note: str = ""
    """What is allowed here but must be said."""


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
    return scenarios + _chains(python, generator, node, json)


def _chains(python: Sender, generator: Sender, node: Sender, json: Sender) -> list[Scenario]:
    """Two GopherShips with programs of others between them, and before them."""
    odd = ODD_VALUES
    table = (
        ("GopherShip, Collector, GopherShip", "chain-collector", (python, json, generator, odd)),
        (
            "GopherShip, Collector (HTTP JSON), GopherShip",
            "chain-collector-http",
            (python, json, odd),
        ),
        ("GopherShip, rotel, GopherShip", "chain-rotel", (python, node, generator, odd)),
        (
            "Collector, GopherShip, rotel, GopherShip",
            "chain-collector-first",
            (python, json, generator),
        ),
        ("rotel, GopherShip, Collector, GopherShip", "chain-rotel-first", (python, node)),
    )
    scenarios = [
        Scenario(f"Chain {way}: {sender.name}", backend, _green(sender))
        for way, backend, senders in table
        for sender in senders
    ]
    name = f"Chain, Collector stopped and started again: {python.name}"
    return [*scenarios, Scenario(name, "chain-collector", _outage(python))]


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
            if early := len(lab.end.requests()):
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
    expected = _sum(parts)
    _wait_for_arrival(lab, expected)
    return _outcome(lab, expected, [], None, are_bytes_kept=False)


def _outage(sender: Sender) -> Callable[[Lab], Outcome]:
    """Sends without a pause while the Collector between both GopherShips is away for a time."""

    def run(lab: Lab) -> Outcome:
        parts: list[Expected] = []
        is_over = threading.Event()

        def keep_sending() -> None:
            while not is_over.is_set():
                parts.append(sender.send(lab, f"run-{len(parts)}"))

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(keep_sending)
            try:
                # Without GopherShip nobody is there to bear an outage.
                problems = [] if lab.tools.is_self_test else _stop_and_start(lab, sending, parts)
            finally:
                is_over.set()
            sending.result()
        expected = _sum(parts)
        _wait_for_arrival(lab, expected)
        are_doubles_allowed = not lab.tools.is_self_test
        return _outcome(
            lab,
            expected,
            problems,
            sender,
            are_bytes_kept=False,
            are_doubles_allowed=are_doubles_allowed,
        )

    return run


def _stop_and_start(lab: Lab, sending: Future[None], parts: list[Expected]) -> list[str]:
    """Takes the Collector away in the middle of a run, for one whole run at least."""

    def arrived() -> int:
        return lab.end.record_counts().total()

    def wait_until_sender(what: str, is_done: Callable[[], bool]) -> None:
        wait_until(what, OUTAGE_SECONDS, lambda: sending.done() or is_done())

    wait_until_sender("records arrive", lambda: arrived() > 0)
    lab.stop_collector()
    last = lab.gopherships[-1]
    wait_until_sender("all that passed is in the files", lambda: last.backlog_requests() == 0)
    before, runs = arrived(), len(parts)
    wait_until_sender("a whole run is sent without the Collector", lambda: len(parts) > runs + 1)
    problems = []
    # A whole run waits there, and what was left of the one that was cut.
    at_least = 0 if sending.done() else parts[-1].counts.total() // BATCH_MAX
    time.sleep(GAUGE_SECONDS)
    if (backlog := lab.gopherships[0].backlog_requests()) < at_least:
        problems.append(f"only {backlog} requests of {at_least} and more wait in the vault")
    if after := arrived() - before:
        problems.append(f"{after} records arrived without the Collector that they pass")
    lab.restart_collector()
    wait_until_sender("records arrive again", lambda: arrived() > before)
    return problems


def _sum(parts: list[Expected]) -> Expected:
    ids: dict[str, Counter[str]] = {signal: Counter() for signal in otlp.SIGNALS}
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
        for signal, of_signal in (part.ids or {}).items():
            ids[signal].update(of_signal)
    return Expected(counts, ids)


def _wait_for_arrival(lab: Lab, expected: Expected) -> None:
    """Waits until everything is there, or for too long; the comparison says what is missing."""
    seconds = 2 if lab.tools.sabotage != "none" else ARRIVAL_SECONDS
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not lab.end.lacks(expected.counts, expected.ids):
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
    are_doubles_allowed: bool = False,
) -> Outcome:
    """Stops every GopherShip and compares; `sender` is None when several sent."""
    repetitions = lab.repetitions(expected.counts.total())
    try:
        lab.stop_gopherships()
    except LabError as error:
        problems.append(str(error))
    exchanges = lab.grpc.exchanges() + lab.http.exchanges()
    if not lab.is_gophership_first:
        exchanges, unanswered = compare.without_retried(exchanges)
        if unanswered:
            repetitions.append(f"the first program left {unanswered} requests without an answer")
    sent = compare.sent_content(exchanges)
    received = compare.received_content(lab.end.requests())
    problems += [f"{name} ends inside a line" for name in lab.end.torn()]
    is_strict = lab.is_gophership_first and not lab.tools.is_self_test
    problems += compare.answer_problems(exchanges, is_strict=is_strict)
    if sender is not None:
        problems += compare.encoding_problems(sender.encoding, exchanges)
    problems += compare.sent_problems(expected, sent)
    if lab.inner:
        inner = [exchange for tee in lab.inner for exchange in tee.exchanges()]
        problems += compare.handed_on_problems(
            inner, received, are_doubles_allowed=are_doubles_allowed or bool(repetitions)
        )
    singles, doubles = received, 0
    if are_doubles_allowed or repetitions:
        singles, doubles = compare.without_doubles(received, sent)
    problems += compare.content_problems(expected, sent, singles)
    if are_bytes_kept:
        problems += compare.byte_problems(sent, singles)
    counted = lab.debug_counts()
    passed = +received.counts if are_doubles_allowed else +expected.counts
    # What came twice may have been doubled before the Collector or behind it.
    most = +received.counts if repetitions else passed
    if counted is not None and not (passed <= counted <= most):
        problems.append(f"the Collector counted {dict(counted)}, not {dict(passed)}")
    why = "; ".join(repetitions) or "an answer was cut off"
    note = f"{doubles} records came twice, which is allowed: {why}" if doubles else ""
    return Outcome(sent.total, received.total, problems, note=note)

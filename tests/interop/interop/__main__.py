"""Runs the scenarios and prints one line for each. `tests/interop/run` prepares what this needs."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from interop.bucket import bucket_scenarios
from interop.lab import Tools
from interop.sabotage import MODES
from interop.scenarios import all_scenarios

PROBLEMS_SHOWN = 4


def main() -> int:
    """Runs what the arguments choose; gives the exit code."""
    options = _options()
    scenarios = [
        scenario
        for scenario in [*all_scenarios(), *bucket_scenarios()]
        if all(word.lower() in scenario.name.lower() for word in options.only)
    ]
    if options.list:
        print("\n".join(scenario.name for scenario in scenarios))
        return 0
    tools = _tools(options)
    # A terminated run still ends its children: the exit unwinds every lab.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()
    failed = 0
    width = max((len(scenario.name) for scenario in scenarios), default=8)
    print(f"{'scenario':{width}} | {'sent':>6} | {'received':>8} | verdict", flush=True)
    for scenario in scenarios:
        outcome = scenario.play(tools)
        verdict = "FAILED" if outcome.problems else "passed"
        print(
            f"{scenario.name:{width}} | {outcome.sent:6} | {outcome.received:8} |"
            f" {verdict} in {outcome.seconds:.1f} s",
            flush=True,
        )
        if outcome.note:
            print(f"    {outcome.note}", flush=True)
        for problem in outcome.problems[:PROBLEMS_SHOWN]:
            print(f"    {problem}", flush=True)
        if len(outcome.problems) > PROBLEMS_SHOWN:
            print(f"    and {len(outcome.problems) - PROBLEMS_SHOWN} more", flush=True)
        failed += bool(outcome.problems)
    print(f"All scenarios took {time.monotonic() - start:.0f} s; logs are in {tools.log_dir}")
    print(f"{len(scenarios) - failed} passed, {failed} failed")
    return 1 if failed or not scenarios else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/interop/run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--self-test", action="store_true", help="leave GopherShip out: tests the tests"
    )
    parser.add_argument(
        "--sabotage",
        choices=MODES,
        default="none",
        help="damage what the recorder keeps; the scenarios must fail: "
        + "; ".join(f"{mode}: {what}" for mode, what in MODES.items()),
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="only scenarios with this word"
    )
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    return parser.parse_args()


def _tools(options: argparse.Namespace) -> Tools:
    log_dir = Path(os.environ["INTEROP_LOGS"])
    shutil.rmtree(log_dir, ignore_errors=True)
    log_dir.mkdir(parents=True)
    return Tools(
        gophership=os.environ.get("GOPHERSHIP_BIN", ""),
        gs_ctl=os.environ.get("GS_CTL_BIN", ""),
        otelcol=os.environ["INTEROP_OTELCOL"],
        telemetrygen=os.environ["INTEROP_TELEMETRYGEN"],
        rotel=os.environ["INTEROP_ROTEL"],
        node_modules=os.environ["INTEROP_NODE_MODULES"],
        is_self_test=options.self_test,
        sabotage=options.sabotage,
        log_dir=log_dir,
    )


if __name__ == "__main__":
    sys.exit(main())

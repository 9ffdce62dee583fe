"""Everything that runs around one scenario: recorder, backends, GopherShip, pass-throughs.

    sender ---> tee ---> GopherShip ---> [Collector | rotel] ---> recorder
    sender ---> tee ---> GopherShip ---> Collector | rotel ---> tee ---> GopherShip ---> files

In a self-test GopherShip is left out and the tee leads straight to what stands behind it; a chain
then ends in the recorder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from interop.filed import Filed
from interop.kept import Kept
from interop.processes import Child, LabError, answers_ok, free_port, is_listening, run_client
from interop.recorder import Recorder
from interop.tee import Tee

HERE = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 20
SENDER_SECONDS = 40
"""A sender needs a second or two, or five in a crowd; its retries would go on for minutes."""

BACKENDS: dict[str, tuple[str, ...]] = {
    "recorder": ("gophership-grpc",),
    "recorder-http": ("gophership-http",),
    "collector": ("gophership-grpc", "collector"),
    "collector-http": ("gophership-http", "collector"),
    "rotel": ("gophership-grpc", "rotel"),
    "chain-collector": ("gophership-grpc", "collector", "gophership-file"),
    "chain-collector-http": ("gophership-http", "collector-http-json", "gophership-file"),
    "chain-rotel": ("gophership-grpc", "rotel", "gophership-file"),
    "chain-collector-first": ("collector", "gophership-grpc", "rotel", "gophership-file"),
    "chain-rotel-first": ("rotel", "gophership-grpc", "collector", "gophership-file"),
}
"""The programs between the tee and the end, in the order in which a request meets them."""


@dataclass(frozen=True)
class Tools:
    """Where the programs are, and what kind of run this is."""

    gophership: str
    gs_ctl: str
    otelcol: str
    telemetrygen: str
    rotel: str
    node_modules: str
    is_self_test: bool
    sabotage: str
    log_dir: Path


@dataclass(frozen=True)
class GopherShip:
    """One that runs, and how to talk to it."""

    child: Child
    socket: Path
    metrics_url: str

    def backlog_requests(self) -> int:
        """How many requests wait in its vault."""
        return self._sum("gophership_vault_backlog_requests")

    def repetitions(self) -> list[str]:
        """What it has done that may bring a request twice: see `website/durability.md`, Duplicates."""
        spilled = "gophership_somatic_pivots_total"
        counts = {
            "requests went to the vault after `patience`": self._sum(spilled, 'cause="patience"'),
            "requests went to the vault after a failed attempt": self._sum(
                spilled, 'cause="failed"'
            ),
            "attempts of a sink were repeated": self._sum("gophership_sink_retries_total"),
        }
        return [f"{count} {what}" for what, count in counts.items() if count]

    def received_records(self) -> int:
        """How many records it was sent, those that were sent again included."""
        return self._sum("gophership_ledger_records", 'bucket="received"')

    def _sum(self, name: str, label: str = "") -> int:
        with urllib.request.urlopen(f"{self.metrics_url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (\d+)", text, re.M)
        if not lines:
            raise LabError(f"GopherShip does not say {name}")
        return sum(int(count) for labels, count in lines if label in labels)


class Lab:
    """The processes of one scenario, started in order and ended by `close`."""

    def __init__(self, tools: Tools, name: str, backend: str) -> None:
        self.tools = tools
        self._slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        # Short, because the path of a unix socket has at most 107 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix="gs-interop."))
        self._cleanup = contextlib.ExitStack()
        self._cleanup.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self.is_gophership_first = BACKENDS[backend][0].startswith("gophership")
        self.inner: list[Tee] = []
        """Stand before the GopherShip that ends a chain, one for each protocol."""
        self.gopherships: list[GopherShip] = []
        """In the order of the way."""
        self._collectors: list[Child] = []
        self._collector_env: dict[str, str] = {}
        try:
            self._start(backend)
        except BaseException:
            self.close()
            raise

    def log(self, part: str) -> Path:
        """The file that keeps the output of one part of this scenario."""
        return self.tools.log_dir / f"{self._slug}.{part}.log"

    def close(self) -> None:
        """Ends everything that still runs."""
        self._cleanup.close()

    def start_child(self, name: str, command: list[str], env: dict[str, str]) -> Child:
        """Starts a server that ends with the scenario at the latest."""
        child = Child(name, command, self.log(name), env)
        self._cleanup.callback(child.kill)
        return child

    def run_sender(self, name: str, command: list[str], seconds: float = SENDER_SECONDS) -> str:
        """Runs a sender to its end and gives its output."""
        env = {"NODE_PATH": self.tools.node_modules, "NODE_NO_WARNINGS": "1"}
        return run_client(name, command, self.log(name), env, seconds)

    def start_collector(self, name: str, config: str, env: dict[str, str]) -> Child:
        """Starts a Collector with a configuration of ours; `env` fills its ports in."""
        command = [self.tools.otelcol, "--config", str(HERE / "collector" / config)]
        child = self.start_child(name, command, env)
        child.wait_ready(START_SECONDS, lambda: is_listening(int(env["INTEROP_GRPC_PORT"])))
        return child

    def override(self, zone: str) -> None:
        """Puts the first GopherShip into a zone, or gives the choice back to it with `auto`."""
        if not self.gopherships:
            return
        socket = self.gopherships[0].socket
        command = [self.tools.gs_ctl, "--socket", str(socket), "override", "--zone", zone]
        run_client("gs-ctl", command, self.log(f"gs-ctl-{zone}"), {}, 10)

    def stop_gopherships(self) -> None:
        """Ends each as a service manager does; raises unless it ends with 0 in time."""
        for gophership in self.gopherships:
            self._stop(gophership.child)

    def stop_collector(self) -> None:
        """Ends the Collector behind GopherShip; raises unless it ends with 0 in time."""
        self._stop(self._collectors[-1])

    def restart_collector(self) -> None:
        """Starts the Collector again where it was."""
        name = f"collector-again-{len(self._collectors)}"
        self._collectors.append(self.start_collector(name, "backend.yaml", self._collector_env))

    def repetitions(self, sent_records: int) -> list[str]:
        """Why records may come twice, as `website/durability.md` says; nothing if none should.

        On a busy machine an answer may be late for whoever waits for it, who then sends again.
        """
        if self.tools.sabotage != "none":
            return []
        found = [what for gophership in self.gopherships for what in gophership.repetitions()]
        received = self.gopherships[0].received_records() if self.gopherships else 0
        if (again := received - sent_records) > 0:
            found.append(f"{again} records were sent to GopherShip again")
        return found

    def debug_counts(self) -> Counter[str] | None:
        """What the Collector in the middle says it took, by signal; None without one."""
        if not self._collectors:
            return None
        counts: Counter[str] = Counter()
        names = {"logs": "log records", "traces": "spans", "metrics": "data points"}
        for collector in self._collectors:
            text = collector.log.read_text(errors="replace")
            for signal, name in names.items():
                counts[signal] += sum(int(found) for found in re.findall(rf'"{name}": (\d+)', text))
        return counts

    def _stop(self, server: Child) -> None:
        code = server.terminate(STOP_SECONDS)
        if code is None:
            raise LabError(f"{server.name} did not end within {STOP_SECONDS} s of SIGTERM")
        if code != 0:
            raise LabError(f"{server.name} ended with {code} after SIGTERM: {server.log_tail()}")

    def _start(self, backend: str) -> None:
        """Starts everything, the end of the way first."""
        self.recorder = Recorder(free_port(), free_port(), self.tools.sabotage)
        self._cleanup.callback(self.recorder.close)
        self.end: Kept = self.recorder
        ports = (self.recorder.grpc_port, self.recorder.http_port)
        for place, stage in reversed(list(enumerate(BACKENDS[backend], start=1))):
            if not stage.startswith("gophership"):
                ports = self._start_peer(stage, ports)
            elif not self.tools.is_self_test:
                ports = self._start_gophership(place, stage, ports)
        self.grpc = self._tee(ports[0])
        self.http = self._tee(ports[1])

    def _tee(self, port: int) -> Tee:
        tee = Tee(free_port(), port)
        self._cleanup.callback(tee.close)
        return tee

    def _start_peer(self, stage: str, next_ports: tuple[int, int]) -> tuple[int, int]:
        """Starts a program of others that hands on to the next ports; gives its own two."""
        ports = free_port(), free_port()
        if stage == "rotel":
            self._start_rotel(ports, next_ports[0])
            return ports
        is_json = stage == "collector-http-json"
        self._collector_env = {
            "INTEROP_GRPC_PORT": str(ports[0]),
            "INTEROP_HTTP_PORT": str(ports[1]),
            "INTEROP_TARGET_PORT": str(next_ports[1 if is_json else 0]),
            "INTEROP_EXPORTER": "otlp_http/json" if is_json else "otlp_grpc",
        }
        collector = self.start_collector("collector-backend", "backend.yaml", self._collector_env)
        self._collectors.append(collector)
        return ports

    def _start_rotel(self, ports: tuple[int, int], target_port: int) -> None:
        command = [
            self.tools.rotel,
            "start",
            f"--otlp-grpc-endpoint=127.0.0.1:{ports[0]}",
            f"--otlp-http-endpoint=127.0.0.1:{ports[1]}",
            "--exporter=otlp",
            f"--otlp-exporter-endpoint=http://127.0.0.1:{target_port}",
            f"--pid-file={self.dir}/rotel.pid",
        ]
        rotel = self.start_child("rotel", command, {})
        rotel.wait_ready(START_SECONDS, lambda: all(is_listening(port) for port in ports))

    def _start_gophership(
        self, place: int, stage: str, next_ports: tuple[int, int]
    ) -> tuple[int, int]:
        """Starts GopherShip with the configuration of that name and a directory of its own."""
        ports, metrics_port = (free_port(), free_port()), free_port()
        directory = self.dir / str(place)
        directory.mkdir()
        env = {
            "INTEROP_DIR": str(directory),
            "INTEROP_GRPC_PORT": str(ports[0]),
            "INTEROP_HTTP_PORT": str(ports[1]),
            "INTEROP_BACKEND_PORT": str(next_ports[1 if stage == "gophership-http" else 0]),
            "INTEROP_METRICS_PORT": str(metrics_port),
        }
        config = HERE / "config" / f"{stage}.yaml"
        command = [self.tools.gophership, "run", "--config", str(config)]
        child = self.start_child(f"gophership-{place}", command, env)
        url = f"http://127.0.0.1:{metrics_port}"
        child.wait_ready(START_SECONDS, lambda: answers_ok(f"{url}/readyz"))
        self.gopherships.insert(0, GopherShip(child, directory / "control.sock", url))
        if stage != "gophership-file":
            return ports
        self.end = Filed(directory / "filed", self.tools.sabotage)
        self.inner = [self._tee(port) for port in ports]
        return self.inner[0].port, self.inner[1].port


def python() -> str:
    """The interpreter with the SDK: the one this runs in."""
    return sys.executable or os.fspath("python3")

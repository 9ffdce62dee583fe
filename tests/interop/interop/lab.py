"""Everything that runs around one scenario: recorder, backends, GopherShip, pass-throughs.

    sender ---> tee ---> GopherShip ---> [Collector | rotel] ---> recorder

In a self-test GopherShip is left out and the tee leads straight to what stands behind it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from interop.processes import Child, LabError, answers_ok, free_port, is_listening, run_client
from interop.recorder import Recorder
from interop.tee import Tee

HERE = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 20
SENDER_SECONDS = 40
"""A sender needs a second or two, or five in a crowd; its retries would go on for minutes."""


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


class Lab:
    """The processes of one scenario, started in order and ended by `close`."""

    def __init__(self, tools: Tools, name: str, backend: str) -> None:
        self.tools = tools
        self._slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        # Short, because the path of a unix socket has at most 107 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix="gs-interop."))
        self._cleanup = contextlib.ExitStack()
        self._cleanup.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self._gophership: Child | None = None
        self._collector: Child | None = None
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
        """Puts GopherShip into a zone, or gives the choice back to it with `auto`."""
        if self._gophership is None:
            return
        socket = str(self.dir / "control.sock")
        command = [self.tools.gs_ctl, "--socket", socket, "override", "--zone", zone]
        run_client("gs-ctl", command, self.log(f"gs-ctl-{zone}"), {}, 10)

    def stop_gophership(self) -> None:
        """Ends GopherShip as a service manager does; raises unless it ends with 0 in time."""
        if self._gophership is None:
            return
        code = self._gophership.terminate(STOP_SECONDS)
        if code is None:
            raise LabError(f"GopherShip did not end within {STOP_SECONDS} s of SIGTERM")
        if code != 0:
            tail = self._gophership.log_tail()
            raise LabError(f"GopherShip ended with {code} after SIGTERM: {tail}")

    def debug_counts(self) -> Counter[str] | None:
        """What the Collector behind GopherShip says it took, by signal; None without one."""
        if self._collector is None:
            return None
        counts: Counter[str] = Counter()
        names = {"logs": "log records", "traces": "spans", "metrics": "data points"}
        text = self._collector.log.read_text(errors="replace")
        for signal, name in names.items():
            counts[signal] = sum(int(count) for count in re.findall(rf'"{name}": (\d+)', text))
        return counts

    def _start(self, backend: str) -> None:
        self.recorder = Recorder(free_port(), free_port(), self.tools.sabotage)
        self._cleanup.callback(self.recorder.close)
        grpc_port, http_port = self._start_backend(backend)
        if not self.tools.is_self_test:
            is_http = backend.endswith("http")
            grpc_port, http_port = self._start_gophership(
                "gophership-http.yaml" if is_http else "gophership-grpc.yaml",
                http_port if is_http else grpc_port,
            )
        self.grpc = Tee(free_port(), grpc_port)
        self._cleanup.callback(self.grpc.close)
        self.http = Tee(free_port(), http_port)
        self._cleanup.callback(self.http.close)

    def _start_backend(self, backend: str) -> tuple[int, int]:
        """Starts what stands between GopherShip and the recorder; gives its two ports."""
        kind = backend.split("-", maxsplit=1)[0]
        if kind == "recorder":
            return self.recorder.grpc_port, self.recorder.http_port
        grpc_port, http_port = free_port(), free_port()
        if kind == "collector":
            env = {
                "INTEROP_GRPC_PORT": str(grpc_port),
                "INTEROP_HTTP_PORT": str(http_port),
                "INTEROP_TARGET_PORT": str(self.recorder.grpc_port),
            }
            self._collector = self.start_collector("collector-backend", "backend.yaml", env)
            return grpc_port, http_port
        command = [
            self.tools.rotel,
            "start",
            f"--otlp-grpc-endpoint=127.0.0.1:{grpc_port}",
            f"--otlp-http-endpoint=127.0.0.1:{http_port}",
            "--exporter=otlp",
            f"--otlp-exporter-endpoint=http://127.0.0.1:{self.recorder.grpc_port}",
            f"--pid-file={self.dir}/rotel.pid",
        ]
        rotel = self.start_child("rotel", command, {})
        rotel.wait_ready(START_SECONDS, lambda: is_listening(grpc_port) and is_listening(http_port))
        return grpc_port, http_port

    def _start_gophership(self, config: str, backend_port: int) -> tuple[int, int]:
        grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
        env = {
            "INTEROP_DIR": str(self.dir),
            "INTEROP_GRPC_PORT": str(grpc_port),
            "INTEROP_HTTP_PORT": str(http_port),
            "INTEROP_BACKEND_PORT": str(backend_port),
            "INTEROP_METRICS_PORT": str(metrics_port),
        }
        command = [self.tools.gophership, "run", "--config", str(HERE / "config" / config)]
        self._gophership = self.start_child("gophership", command, env)
        self._gophership.wait_ready(
            START_SECONDS, lambda: answers_ok(f"http://127.0.0.1:{metrics_port}/readyz")
        )
        return grpc_port, http_port


def python() -> str:
    """The interpreter with the SDK: the one this runs in."""
    return sys.executable or os.fspath("python3")

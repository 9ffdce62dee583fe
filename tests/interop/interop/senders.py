"""The programs that send, and what each of them must have sent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from interop import otlp
from interop.lab import HERE, Lab, python
from interop.processes import LabError, free_port

LOGS, SPANS, POINTS, COLLECTIONS = 2_000, 1_000, 300, 2
GENERATED = 2_000
BATCH_MAX = 200
"""Most records of one request of the SDK for Python."""


@dataclass(frozen=True)
class Expected:
    """What a sender must have sent by its own account."""

    counts: Counter[str]
    """Records by signal."""
    ids: dict[str, Counter[str]] | None
    """Records by signal and id; None for a sender that gives no ids."""


@dataclass(frozen=True)
class Sender:
    """A kind of client."""

    name: str
    is_json: bool
    encoding: str
    """How its requests are compressed."""
    send: Callable[[Lab, str], Expected]
    """Sends everything in a run of the given name and returns when all is answered."""


def _sdk_options(endpoint_port: int, run: str) -> list[str]:
    return [
        f"--endpoint=127.0.0.1:{endpoint_port}",
        f"--run={run}",
        f"--logs={LOGS}",
        f"--spans={SPANS}",
        f"--points={POINTS}",
    ]


def _sdk_expected(run: str) -> Expected:
    def ids(signal: str, count: int, times: int = 1) -> Counter[str]:
        return Counter({f"{run}/{signal}/{index:06}": times for index in range(count)})

    return Expected(
        Counter(logs=LOGS, traces=SPANS, metrics=POINTS * COLLECTIONS),
        {
            "logs": ids("logs", LOGS),
            "traces": ids("traces", SPANS),
            "metrics": ids("metrics", POINTS, COLLECTIONS),
        },
    )


def _check_sdk(name: str, output: str) -> None:
    """The SDK's own view: every flush and every export succeeded."""
    report = json.loads(output.strip().splitlines()[-1])
    if report["failed"] or not report["ok"] or not report["flushed"]:
        raise LabError(f"{name} was told of failures: {report}")


def _python(protocol: str, gzip: bool) -> Callable[[Lab, str], Expected]:
    def send(lab: Lab, run: str) -> Expected:
        port = lab.grpc.port if protocol == "grpc" else lab.http.port
        _run_python(lab, run, protocol, gzip, port)
        return _sdk_expected(run)

    return send


def _run_python(lab: Lab, run: str, protocol: str, gzip: bool, port: int) -> None:
    name = f"python-{protocol}{'-gzip' if gzip else ''}"
    command = [python(), str(HERE / "senders" / "python_sdk.py"), f"--protocol={protocol}"]
    command += ["--gzip"] if gzip else []
    _check_sdk(name, lab.run_sender(name, command + _sdk_options(port, run)))


def _odd_values(lab: Lab, run: str) -> Expected:
    command = [python(), str(HERE / "senders" / "odd_values.py")]
    command += _sdk_options(lab.grpc.port, run)
    _check_sdk("odd-values", lab.run_sender("odd-values", command))
    return _sdk_expected(run)


def _node(protocol: str, gzip: bool) -> Callable[[Lab, str], Expected]:
    def send(lab: Lab, run: str) -> Expected:
        name = f"node-{protocol.replace('/', '-')}{'-gzip' if gzip else ''}"
        port = lab.grpc.port if protocol == "grpc" else lab.http.port
        command = ["node", str(HERE / "senders" / "node_sdk.js"), f"--protocol={protocol}"]
        command += ["--gzip"] if gzip else []
        _check_sdk(name, lab.run_sender(name, command + _sdk_options(port, run)))
        return _sdk_expected(run)

    return send


def _telemetrygen(is_http: bool) -> Callable[[Lab, str], Expected]:
    def send(lab: Lab, _run: str) -> Expected:
        port = lab.http.port if is_http else lab.grpc.port
        common = [f"--otlp-endpoint=127.0.0.1:{port}", "--otlp-insecure", "--rate=0"]
        common += ["--otlp-http"] if is_http else []
        for signal, options in (
            ("logs", [f"--logs={GENERATED}"]),
            ("traces", [f"--traces={GENERATED // 2}", "--child-spans=1"]),
            ("metrics", [f"--metrics={GENERATED}", "--metric-type=Histogram"]),
        ):
            name = f"telemetrygen-{'http' if is_http else 'grpc'}-{signal}"
            lab.run_sender(name, [lab.tools.telemetrygen, signal, *common, *options])
        return Expected(Counter({signal: GENERATED for signal in otlp.SIGNALS}), None)

    return send


def _collector(exporter: str) -> Callable[[Lab, str], Expected]:
    def send(lab: Lab, run: str) -> Expected:
        port = free_port()
        target = lab.grpc if exporter == "otlp_grpc" else lab.http
        env = {
            "INTEROP_GRPC_PORT": str(port),
            "INTEROP_TARGET_PORT": str(target.port),
            "INTEROP_EXPORTER": exporter,
        }
        name = f"collector-{exporter.replace('/', '-')}"
        collector = lab.start_collector(name, "sender.yaml", env)
        _run_python(lab, run, "grpc", False, port)
        code = collector.terminate(20)
        if code != 0:
            raise LabError(f"{name} ended with {code}: {collector.log_tail()}")
        return _sdk_expected(run)

    return send


SENDERS = (
    Sender("Python SDK, gRPC", False, "identity", _python("grpc", gzip=False)),
    Sender("Python SDK, gRPC gzip", False, "gzip", _python("grpc", gzip=True)),
    Sender("Python SDK, HTTP protobuf", False, "identity", _python("http", gzip=False)),
    Sender("Python SDK, HTTP protobuf gzip", False, "gzip", _python("http", gzip=True)),
    Sender("Node.js SDK, gRPC", False, "identity", _node("grpc", gzip=False)),
    Sender("Node.js SDK, HTTP protobuf", False, "identity", _node("http/protobuf", gzip=False)),
    Sender("Node.js SDK, HTTP JSON", True, "identity", _node("http/json", gzip=False)),
    Sender("Node.js SDK, HTTP JSON gzip", True, "gzip", _node("http/json", gzip=True)),
    Sender("telemetrygen, gRPC", False, "identity", _telemetrygen(is_http=False)),
    Sender("telemetrygen, HTTP protobuf", False, "identity", _telemetrygen(is_http=True)),
    Sender("Collector, gRPC gzip", False, "gzip", _collector("otlp_grpc")),
    Sender("Collector, HTTP protobuf gzip", False, "gzip", _collector("otlp_http")),
    Sender("Collector, HTTP JSON gzip", True, "gzip", _collector("otlp_http/json")),
)

# Not one of the programs that others wrote: it sends what they could.
ODD_VALUES = Sender("odd values, gRPC", False, "identity", _odd_values)

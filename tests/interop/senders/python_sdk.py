"""Sends logs, spans and metrics with the OpenTelemetry SDK for Python; prints what it was told.

The last line of its output is a JSON object: `ok` and `failed` exports, and whether every flush
said that it succeeded. Each record carries the attribute `interop.id`:
`RUN/logs/000000`, `RUN/traces/000000`, `RUN/metrics/000000` and so on, without gaps.
"""

import argparse
import json
import math
import sys
import time

import grpc
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

BODIES = (
    "a plain sentence",
    "non-ASCII: Gr\u00fc\u00dfe, \u65e5\u672c\u8a9e, \U0001f6a2",
    "",
    42,
    3.5,
    True,
    b"\x00\xff raw bytes",
    ["a", 1, 2.5, ["nested", False]],
    {"user": {"id": 7, "tags": ["x", "y"]}, "cost": 0.25},
    "long line " * 800,
)
SEVERITIES = (
    SeverityNumber.TRACE,
    SeverityNumber.DEBUG,
    SeverityNumber.INFO,
    SeverityNumber.WARN,
    SeverityNumber.ERROR,
    SeverityNumber.FATAL4,
)


class Counted:
    """Wraps an exporter and counts what its exports ended in."""

    totals = {"ok": 0, "failed": 0}

    def __init__(self, exporter):
        self._exporter = exporter

    def __getattr__(self, name):
        return getattr(self._exporter, name)

    def export(self, *args, **kwargs):
        result = self._exporter.export(*args, **kwargs)
        self.totals["ok" if result.name == "SUCCESS" else "failed"] += 1
        return result


def exporter(options, signal):
    """Makes the exporter of one signal."""
    grpc_class, http_class = {
        "logs": (grpc_logs.OTLPLogExporter, http_logs.OTLPLogExporter),
        "traces": (grpc_traces.OTLPSpanExporter, http_traces.OTLPSpanExporter),
        "metrics": (grpc_metrics.OTLPMetricExporter, http_metrics.OTLPMetricExporter),
    }[signal]
    # The default batch of metrics is everything at once; several requests tell more.
    extra = {"max_export_batch_size": 150} if signal == "metrics" else {}
    if options.protocol == "grpc":
        return Counted(
            grpc_class(
                endpoint=f"http://{options.endpoint}",
                insecure=True,
                compression=grpc.Compression.Gzip
                if options.gzip
                else grpc.Compression.NoCompression,
                **extra,
            )
        )
    return Counted(
        http_class(
            endpoint=f"http://{options.endpoint}/v1/{signal}",
            compression=Compression.Gzip if options.gzip else Compression.NoCompression,
            **extra,
        )
    )


def resource(name):
    """Describes one of the two services that this program plays."""
    return Resource(
        {
            "service.name": name,
            "service.instance.id": "0",
            "host.cores": 2,
            "cloud.zones": ["a", "b"],
            "zone.\u00fcber": "non-ASCII key",
        },
        schema_url="https://opentelemetry.io/schemas/1.37.0",
    )


def send_logs(options):
    """Sends log records of every body type, with and without a trace."""
    is_ok = True
    providers = [LoggerProvider(resource=resource(name)) for name in ("checkout", "cart")]
    for provider in providers:
        provider.add_log_record_processor(
            BatchLogRecordProcessor(
                exporter(options, "logs"), max_queue_size=100_000, max_export_batch_size=200
            )
        )
    loggers = [
        provider.get_logger(scope, version, attributes=attributes)
        for provider in providers
        for scope, version, attributes in (
            ("http.server", "1.2.3", {"scope.kind": "server", "scope.level": 3}),
            ("worker", None, None),
        )
    ]
    for index in range(options.logs):
        severity = SEVERITIES[index % len(SEVERITIES)]
        has_trace = index % 3 == 0
        now = time.time_ns()
        loggers[index % len(loggers)].emit(
            LogRecord(
                timestamp=now if index % 7 else None,
                observed_timestamp=now + 1_000,
                context=span_context(index) if has_trace else None,
                severity_text=severity.name,
                severity_number=severity,
                body=BODIES[index % len(BODIES)],
                attributes={
                    "interop.id": f"{options.run}/logs/{index:06}",
                    "http.route": "/orders/{id}",
                    "http.status": 200 + index % 300,
                    "ratio": index / 7,
                    "is.first": index == 0,
                    "steps": ["parse", "charge", "ship"],
                },
                event_name="order.placed" if index % 5 == 0 else None,
            )
        )
    for provider in providers:
        is_ok &= provider.force_flush() is not False
        provider.shutdown()
    return is_ok


def span_context(index):
    """Makes the context that ties a log record to a trace."""
    context = trace.SpanContext(
        trace_id=(1 << 120) + index + 1,
        span_id=(1 << 60) + index + 1,
        is_remote=False,
        trace_flags=trace.TraceFlags(index % 2),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))


def send_traces(options):
    """Sends spans: parents and children, events, links, each kind and status."""
    provider = TracerProvider(resource=resource("checkout"))
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter(options, "traces"), max_queue_size=100_000, max_export_batch_size=200
        )
    )
    tracer = provider.get_tracer(
        "spans", "0.9", schema_url="https://opentelemetry.io/schemas/1.4.0"
    )
    kinds = list(SpanKind)
    parent = None
    for index in range(options.spans):
        context = trace.set_span_in_context(parent) if parent and index % 4 else None
        links = (
            [Link(parent.get_span_context(), {"why": "retry"})] if parent and index % 5 == 0 else []
        )
        span = tracer.start_span(
            f"step {index % 10}",
            context=context,
            kind=kinds[index % len(kinds)],
            links=links,
            attributes={"interop.id": f"{options.run}/traces/{index:06}", "db.rows": index},
        )
        if index % 3 == 0:
            span.add_event("cache miss", {"cache.key": f"k{index}", "sizes": [1, 2, 3]})
        if index % 11 == 0:
            span.record_exception(ValueError("no such order"))
        if index % 6 == 0:
            span.set_status(Status(StatusCode.ERROR, "declined"))
        elif index % 6 == 1:
            span.set_status(Status(StatusCode.OK))
        span.end()
        parent = span
    is_ok = provider.force_flush() is not False
    provider.shutdown()
    return is_ok


def send_metrics(options):
    """Sends data points of every instrument, in two collections with different values."""
    # Without an interval there is no last collection at the shutdown either: two flushes, no more.
    reader = PeriodicExportingMetricReader(
        exporter(options, "metrics"), export_interval_millis=math.inf
    )
    exponential = View(
        instrument_type=Histogram,
        instrument_name="queue.*",
        aggregation=ExponentialBucketHistogramAggregation(),
    )
    provider = MeterProvider(
        metric_readers=[reader], resource=resource("checkout"), views=[exponential]
    )
    meter = provider.get_meter("meters", "2.0", attributes={"scope.kind": "meter"})
    counter = meter.create_counter("orders.placed", unit="{order}", description="Orders so far")
    record = (
        counter.add,
        meter.create_up_down_counter("orders.open", unit="{order}").add,
        meter.create_histogram("http.latency", unit="ms", description="Answer times").record,
        meter.create_histogram("queue.wait", unit="s").record,
        meter.create_gauge("temperature", unit="Cel").set,
    )
    is_ok = True
    for collection in range(2):
        for index in range(options.points):
            record[index % len(record)](
                (index + 1) * (collection + 1) * (0.5 if index % 2 else 1),
                {"interop.id": f"{options.run}/metrics/{index:06}", "region": "eu"},
            )
        is_ok &= provider.force_flush() is not False
    provider.shutdown()
    return is_ok


def main():
    """Sends everything and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=("grpc", "http"), required=True)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--endpoint", required=True, help="HOST:PORT")
    parser.add_argument("--run", required=True, help="prefix of the record ids")
    parser.add_argument("--logs", type=int, required=True)
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--points", type=int, required=True, help="data points per collection")
    options = parser.parse_args()
    flushed = send_logs(options) & send_traces(options) & send_metrics(options)
    print(json.dumps({**Counted.totals, "flushed": flushed}))
    sys.exit(0 if flushed and Counted.totals["failed"] == 0 else 1)


if __name__ == "__main__":
    main()

"""Sends what OTLP allows and hardly an SDK sends: empty, extreme, deep and strange values.

Options and output are those of python_sdk.py. The requests are built from the protocol's own
messages, because no SDK lets such values pass.
"""

import argparse
import json
import sys

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as traces

INFINITY = float("inf")
U32_MAX, U64_MAX = 2**32 - 1, 2**64 - 1
DEEP = 25
BATCH = 50
"""Peers take no more than 4 MiB at once."""
TIME = 1_700_000_000_000_000_001
"""Not a number that a double can hold."""

DOUBLES = (
    0.0,
    0.1,
    1 / 3,
    1e21,
    1e-7,
    9007199254740993.0,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1.0,
    float("nan"),
    INFINITY,
    -INFINITY,
)
TEXTS = (
    "",
    " \t\r\n",
    "".join(chr(code) for code in range(0x20)) + "\x7f\x80",
    '"\\/ </script> ${HOME} %s {}',
    "\u2028\u2029\ufeff\ufffd\uffff",
    "\U0001f6a2 \U0010ffff e\u0301",
    "NaN",
    "x" * 20_000,
)
INTEGERS = (0, -1, 2**53 + 1, 2**63 - 1, -(2**63))
NAMES = ("", " ", "a.b[0]", "traceId", '"quoted"', "\u00fcber\x00", "k" * 3_000)


def array(*values):
    """Makes an array value."""
    value = AnyValue()
    value.array_value.SetInParent()
    value.array_value.values.extend(values)
    return value


def pairs(*items):
    """Makes a value of keys and values."""
    value = AnyValue()
    value.kvlist_value.SetInParent()
    value.kvlist_value.values.extend(KeyValue(key=key, value=item) for key, item in items)
    return value


def nested(wrap):
    """Wraps a value many times."""
    value = AnyValue(string_value="the innermost")
    for _ in range(DEEP):
        value = wrap(value)
    return value


def odd_values():
    """Makes one value of every kind that may get lost."""
    unset = AnyValue()
    yield unset
    yield from (AnyValue(string_value=text) for text in TEXTS)
    yield from (AnyValue(double_value=double) for double in DOUBLES)
    yield from (AnyValue(int_value=integer) for integer in INTEGERS)
    yield from (AnyValue(bool_value=truth) for truth in (False, True))
    for size in (0, 1, 2, 3, 256):
        yield AnyValue(bytes_value=bytes((7 * index) % 256 for index in range(size)))
    yield array()
    yield array(unset, array(), pairs(), AnyValue(string_value=""), AnyValue(bytes_value=b""))
    yield pairs()
    yield pairs(*((name, unset) for name in NAMES))
    yield nested(array)
    yield nested(lambda value: pairs(("level", value), ("other", unset)))


VALUES = tuple(odd_values())


def of(items, index):
    """One of the items, each in turn."""
    return items[index % len(items)]


def attributes(record_id, index):
    """The id, an odd value under a plain name, and one under an odd name."""
    made = [
        KeyValue(key="odd", value=of(VALUES, index)),
        KeyValue(key=of(NAMES, index), value=of(VALUES, index // len(NAMES))),
    ]
    if record_id is not None:
        made.append(KeyValue(key="interop.id", value=AnyValue(string_value=record_id)))
    return made


def resource(index):
    """A resource that is as odd as its records."""
    return Resource(attributes=attributes(None, index), dropped_attributes_count=index % 2)


def scope(index):
    """A scope whose name may be empty."""
    return InstrumentationScope(
        name=of(TEXTS, index), version="", attributes=attributes(None, index + 1)
    )


def span_ids(index):
    """A trace id and a span id; every third time there are none."""
    if index % 3 == 0:
        return b"", b""
    return (index.to_bytes(2, "big") + b"\xff" * 14), b"\x00" * 7 + b"\x01"


def log_records(run, start, stop):
    """Makes log records, among them some without any time."""
    for index in range(start, stop):
        trace_id, span_id = span_ids(index)
        yield logs.LogRecord(
            time_unix_nano=of((0, TIME, U64_MAX), index),
            observed_time_unix_nano=of((TIME, 0), index),
            severity_number=of((0, 1, 24), index),
            severity_text=of(TEXTS[:6], index),
            body=of(VALUES, index + 3),
            attributes=attributes(f"{run}/logs/{index:06}", index),
            dropped_attributes_count=of((0, U32_MAX), index),
            flags=of((0, 1, U32_MAX), index),
            trace_id=trace_id,
            span_id=span_id,
            event_name=of(("", "odd.event"), index),
        )


def spans(run, start, stop):
    """Makes spans with odd events, links and states."""
    for index in range(start, stop):
        trace_id, span_id = index.to_bytes(16, "little")[:15] + b"\x01", b"\x00" * 7 + b"\x01"
        link = traces.Span.Link(
            trace_id=trace_id,
            span_id=span_id,
            trace_state="a=1,b=2",
            attributes=attributes(None, index + 5),
            dropped_attributes_count=U32_MAX,
            flags=0x301,
        )
        event = traces.Span.Event(
            time_unix_nano=of((0, U64_MAX), index),
            name=of(TEXTS[:6], index),
            attributes=attributes(None, index + 7),
            dropped_attributes_count=1,
        )
        yield traces.Span(
            trace_id=trace_id,
            span_id=span_id,
            trace_state=of(("", "th=8;rv=0123456789abcd"), index),
            parent_span_id=of((b"", b"\xff" * 8), index),
            flags=of((0, 0x100, U32_MAX), index),
            name=of(TEXTS, index),
            kind=index % 6,
            start_time_unix_nano=TIME,
            end_time_unix_nano=of((0, TIME - 1), index),
            attributes=attributes(f"{run}/traces/{index:06}", index),
            events=[event] * (index % 3),
            links=[link] * (index % 2),
            dropped_attributes_count=index % 2,
            dropped_events_count=U32_MAX,
            dropped_links_count=1,
            status=traces.Status(code=index % 3, message=of(TEXTS[:6], index)),
        )


def number_point(common, index):
    """A number, or none at all with the flag that says so."""
    if index % 7 == 0:
        return metrics.NumberDataPoint(**common | {"flags": 1})
    if index % 2:
        return metrics.NumberDataPoint(**common, as_int=of(INTEGERS, index))
    return metrics.NumberDataPoint(**common, as_double=of(DOUBLES, index // 2))


def histogram(common, index):
    """A histogram with or without its optional numbers."""
    point = metrics.HistogramDataPoint(**common, count=of((0, U64_MAX), index))
    if index % 3:
        point.sum, point.min, point.max = of(DOUBLES, index), 0.0, of(DOUBLES, index + 1)
        point.bucket_counts.extend((0, U64_MAX, 1))
        point.explicit_bounds.extend((-INFINITY, 0.1))
    return point


def exponential(common, index):
    """An exponential histogram with negative scale and offsets."""
    point = metrics.ExponentialHistogramDataPoint(
        **common, count=1, scale=of((-10, 0, 20), index), zero_count=U64_MAX
    )
    buckets = metrics.ExponentialHistogramDataPoint.Buckets
    point.positive.CopyFrom(buckets(offset=-(2**31), bucket_counts=(0, 1, U64_MAX)))
    point.negative.CopyFrom(buckets(offset=2**31 - 1))
    point.zero_threshold = of((0.0, 5e-324), index)
    if index % 2:
        point.sum, point.min, point.max = of(DOUBLES, index), INFINITY, -INFINITY
    return point


def summary(common, index):
    """A summary with odd quantiles, or none."""
    quantile = metrics.SummaryDataPoint.ValueAtQuantile
    quantiles = [quantile(quantile=0.0, value=-0.5), quantile(quantile=1.0, value=INFINITY)]
    return metrics.SummaryDataPoint(
        **common, count=U64_MAX, sum=of(DOUBLES, index), quantile_values=quantiles[: index % 3]
    )


def data_points(run, start, stop):
    """Makes metrics with one data point each, of every kind."""
    for index in range(start, stop):
        common = {
            "attributes": attributes(f"{run}/metrics/{index:06}", index),
            "start_time_unix_nano": of((0, TIME), index),
            "time_unix_nano": of((TIME, U64_MAX), index),
            "flags": of((0, U32_MAX - 1), index),
        }
        trace_id, span_id = span_ids(index)
        exemplar = metrics.Exemplar(
            filtered_attributes=attributes(None, index + 9),
            time_unix_nano=TIME,
            as_double=of(DOUBLES, index),
            trace_id=trace_id,
            span_id=span_id,
        )
        metric = metrics.Metric(
            name=of(TEXTS, index),
            unit=of(("", "\u00b5s"), index),
            description=of(TEXTS[:6], index + 1),
            metadata=attributes(None, index + 11)[: index % 3],
        )
        kind = index % 5
        if kind == 0:
            metric.gauge.data_points.append(number_point(common, index // 5))
            metric.gauge.data_points[0].exemplars.append(exemplar)
        elif kind == 1:
            metric.sum.data_points.append(number_point(common, index // 5))
            metric.sum.aggregation_temporality = index % 3
            metric.sum.is_monotonic = bool(index % 2)
        elif kind == 2:
            metric.histogram.data_points.append(histogram(common, index // 5))
            metric.histogram.data_points[0].exemplars.extend([exemplar] * (index % 3))
            metric.histogram.aggregation_temporality = index % 3
        elif kind == 3:
            metric.exponential_histogram.data_points.append(exponential(common, index // 5))
            metric.exponential_histogram.aggregation_temporality = 1
        else:
            metric.summary.data_points.append(summary(common, index // 5))
        yield metric


def requests(options):
    """Makes all requests, each with the signal whose service takes it."""
    for start in range(0, options.logs, BATCH):
        records = list(log_records(options.run, start, min(start + BATCH, options.logs)))
        scoped = logs.ScopeLogs(scope=scope(start), log_records=records)
        whole = logs.ResourceLogs(resource=resource(start // BATCH), scope_logs=[scoped])
        yield "logs", logs_service.ExportLogsServiceRequest(resource_logs=[whole])
    for start in range(0, options.spans, BATCH):
        records = list(spans(options.run, start, min(start + BATCH, options.spans)))
        scoped = traces.ScopeSpans(scope=scope(start), spans=records)
        whole = traces.ResourceSpans(resource=resource(start // BATCH), scope_spans=[scoped])
        yield "traces", trace_service.ExportTraceServiceRequest(resource_spans=[whole])
    for start in (*range(0, options.points, BATCH), *range(0, options.points, BATCH)):
        records = list(data_points(options.run, start, min(start + BATCH, options.points)))
        scoped = metrics.ScopeMetrics(scope=scope(start), metrics=records)
        whole = metrics.ResourceMetrics(resource=resource(start // BATCH), scope_metrics=[scoped])
        yield "metrics", metrics_service.ExportMetricsServiceRequest(resource_metrics=[whole])


def main():
    """Sends everything and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, help="HOST:PORT")
    parser.add_argument("--run", required=True, help="prefix of the record ids")
    parser.add_argument("--logs", type=int, required=True)
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--points", type=int, required=True, help="data points, sent twice")
    options = parser.parse_args()
    totals = {"ok": 0, "failed": 0}
    with grpc.insecure_channel(options.endpoint) as channel:
        services = {
            "logs": logs_grpc.LogsServiceStub(channel),
            "traces": trace_grpc.TraceServiceStub(channel),
            "metrics": metrics_grpc.MetricsServiceStub(channel),
        }
        for signal, request in requests(options):
            try:
                services[signal].Export(request, timeout=20)
                totals["ok"] += 1
            except grpc.RpcError as error:
                totals["failed"] += 1
                print(signal, error.code(), error.details())
    print(json.dumps({**totals, "flushed": True}))
    sys.exit(1 if totals["failed"] else 0)


if __name__ == "__main__":
    main()

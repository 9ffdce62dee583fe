"""OTLP requests as comparable values: decoding, counting, canonical records."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

SIGNALS = ("logs", "metrics", "traces")

REQUESTS: dict[str, type[Message]] = {
    "logs": logs_service.ExportLogsServiceRequest,
    "metrics": metrics_service.ExportMetricsServiceRequest,
    "traces": trace_service.ExportTraceServiceRequest,
}
RESPONSES: dict[str, type[Message]] = {
    "logs": logs_service.ExportLogsServiceResponse,
    "metrics": metrics_service.ExportMetricsServiceResponse,
    "traces": trace_service.ExportTraceServiceResponse,
}
GRPC_PATHS = {
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
}
HTTP_PATHS = {"/v1/logs": "logs", "/v1/metrics": "metrics", "/v1/traces": "traces"}

RECORD_ID = "interop.id"
"""Attribute by which the senders name each record; it is unique within a run."""

POINTS: dict[str, type[Message]] = {
    "gauge": metrics_pb2.NumberDataPoint,
    "sum": metrics_pb2.NumberDataPoint,
    "histogram": metrics_pb2.HistogramDataPoint,
    "exponential_histogram": metrics_pb2.ExponentialHistogramDataPoint,
    "summary": metrics_pb2.SummaryDataPoint,
}


def signal_of_path(path: str) -> str | None:
    """Names the signal that a gRPC or HTTP path stands for."""
    return GRPC_PATHS.get(path) or HTTP_PATHS.get(path)


def is_json(content_type: str) -> bool:
    """Whether a body is in the JSON form of OTLP."""
    return content_type.split(";", maxsplit=1)[0].strip() == "application/json"


def decode(signal: str, body: bytes, content_type: str) -> Message:
    """Decodes a request from its protobuf or JSON form; raises when it is neither.

    A field of JSON that OTLP does not have makes it neither: nothing would compare its value.
    """
    if is_json(content_type):
        return _from_json(REQUESTS[signal], body)
    return REQUESTS[signal].FromString(body)


def decode_response(signal: str, body: bytes, content_type: str) -> Message:
    """Decodes an answer from its protobuf or JSON form; raises when it is neither."""
    if is_json(content_type):
        return _from_json(RESPONSES[signal], body)
    return RESPONSES[signal].FromString(body)


def _from_json(message: type[Message], body: bytes) -> Message:
    document = _ids_to_base64(json.loads(body))
    return json_format.ParseDict(document, message())


def _ids_to_base64(value: Any) -> Any:
    """Turns hexadecimal ids, which are OTLP's own, into the base64 of protobuf's JSON form."""
    if isinstance(value, list):
        return [_ids_to_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        if key in ("traceId", "spanId", "parentSpanId") and isinstance(item, str):
            result[key] = base64.b64encode(bytes.fromhex(item)).decode()
        else:
            result[key] = _ids_to_base64(item)
    return result


def records(signal: str, request: Message) -> Iterator[tuple[bytes, ...]]:
    """Yields one canonical value per record: log record, span or metric data point.

    It holds the record with its resource and scope, so that how records are grouped into requests
    does not matter. Attributes are order-free and are sorted; unknown fields are kept. The request
    is changed by this.
    """
    if signal == "metrics":
        yield from _data_points(request)
        return
    for resource, scope, items in scopes(signal, request):
        for item in items:
            yield (resource, scope, _canonical(item))


def scopes(signal: str, request: Message) -> Iterator[tuple[bytes, bytes, Any]]:
    """Yields each scope's canonical resource, its own canonical form, and its records' list."""
    outer, inner, items = {
        "logs": ("resource_logs", "scope_logs", "log_records"),
        "traces": ("resource_spans", "scope_spans", "spans"),
        "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    }[signal]
    for by_resource in getattr(request, outer):
        resource = _canonical(by_resource.resource) + by_resource.schema_url.encode()
        for by_scope in getattr(by_resource, inner):
            scope = _canonical(by_scope.scope) + by_scope.schema_url.encode()
            yield resource, scope, getattr(by_scope, items)


def _data_points(request: Message) -> Iterator[tuple[bytes, ...]]:
    for resource, scope, metrics in scopes("metrics", request):
        for metric in metrics:
            kind = metric.WhichOneof("data")
            points = []
            if kind is not None:
                points = [_canonical(point) for point in getattr(metric, kind).data_points]
                del getattr(metric, kind).data_points[:]
            head = _canonical(metric)
            for point in points:
                yield (resource, scope, head, point)


def describe(signal: str, record: tuple[bytes, ...]) -> str:
    """Writes the record of a canonical value, without its resource and scope, on one line."""
    if signal == "logs":
        message: Message = logs_pb2.LogRecord.FromString(record[-1])
    elif signal == "traces":
        message = trace_pb2.Span.FromString(record[-1])
    else:
        kind = metrics_pb2.Metric.FromString(record[-2]).WhichOneof("data")
        message = POINTS[kind].FromString(record[-1])
    return text_format.MessageToString(message, as_one_line=True)


def id_of(signal: str, record: tuple[bytes, ...]) -> str:
    """The id that the sender gave to the record of a canonical value, or nothing."""
    found = re.search(
        rf'key: "{RECORD_ID}" value {{ string_value: "([^"]*)"', describe(signal, record)
    )
    return found[1] if found else ""


def _canonical(message: Message) -> bytes:
    _sort_attributes(message)
    return message.SerializeToString(deterministic=True)


def _sort_attributes(message: Message) -> None:
    """Sorts attribute lists, also those of events, links, exemplars and nested values."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        is_repeated = not isinstance(value, Message)
        for item in value if is_repeated else (value,):
            _sort_attributes(item)
        if is_repeated and descriptor.message_type.name == "KeyValue" and len(value) > 1:
            value.sort(key=lambda item: item.SerializeToString(deterministic=True))


def record_count(signal: str, request: Message) -> int:
    """Counts log records, spans or metric data points."""
    if signal != "metrics":
        return sum(len(items) for _, _, items in scopes(signal, request))
    count = 0
    for _, _, metrics in scopes("metrics", request):
        for metric in metrics:
            kind = metric.WhichOneof("data")
            count += len(getattr(metric, kind).data_points) if kind else 0
    return count


def record_items(signal: str, request: Message) -> Iterator[Any]:
    """Yields the record messages themselves."""
    for _, _, items in scopes(signal, request):
        if signal != "metrics":
            yield from items
            continue
        for metric in items:
            kind = metric.WhichOneof("data")
            if kind:
                yield from getattr(metric, kind).data_points


def record_ids(signal: str, request: Message) -> Counter[str]:
    """Counts the records of each id that a sender gave."""
    ids: Counter[str] = Counter()
    for item in record_items(signal, request):
        for attribute in item.attributes:
            if attribute.key == RECORD_ID:
                ids[attribute.value.string_value] += 1
    return ids

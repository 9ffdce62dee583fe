"""Reads OTLP exchanges out of the raw bytes of a TCP connection: gRPC over HTTP/2, and HTTP/1.1.

The bytes were captured between two programs that know nothing of the capture, so what is read here
is exactly what the client wrote and what the server answered.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, field

import hpack

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, CONTINUATION = 0, 1, 3, 9
END_STREAM, PADDED, PRIORITY = 0x1, 0x8, 0x20


class WireError(Exception):
    """The captured bytes are not what the protocol allows."""


@dataclass
class Exchange:
    """One request and its answer, both after decompression."""

    path: str
    request: bytes
    """The protobuf message (gRPC) or the body (HTTP), decompressed."""
    request_type: str
    encoding: str
    """Compression of the request on the wire: identity, gzip, ..."""
    status: str
    """`0` for a gRPC OK, `200` for an HTTP OK, `none` when no answer was captured."""
    status_message: str
    response: bytes
    response_type: str
    is_grpc: bool

    @property
    def is_ok(self) -> bool:
        """Whether the client was told that its data is accepted."""
        return self.status == ("0" if self.is_grpc else "200")


def decompress(encoding: str, body: bytes) -> bytes:
    """Undoes a content or message encoding."""
    if encoding in ("", "identity"):
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    raise WireError(f"the request is compressed with {encoding}, which this test cannot read")


def exchanges(client: bytes, server: bytes) -> list[Exchange]:
    """Reads all exchanges of one connection from its two directions."""
    if not client:
        return []
    if client.startswith(HTTP2_PREFACE):
        return _grpc_exchanges(client, server)
    return _http1_exchanges(client, server)


# HTTP/2


@dataclass
class _Stream:
    """One direction of one HTTP/2 stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    is_reset: bool = False


def _grpc_exchanges(client: bytes, server: bytes) -> list[Exchange]:
    requests = _http2_streams(client[len(HTTP2_PREFACE) :])
    responses = _http2_streams(server)
    result = []
    for stream_id, request in requests.items():
        if ":path" not in request.headers:
            continue
        response = responses.get(stream_id, _Stream())
        status = "reset" if response.is_reset else response.headers.get("grpc-status", "none")
        encoding = request.headers.get("grpc-encoding", "identity")
        result.append(
            Exchange(
                path=request.headers[":path"],
                request=_grpc_message(encoding, request.data),
                request_type=request.headers.get("content-type", ""),
                encoding=encoding,
                status=status,
                status_message=response.headers.get("grpc-message", ""),
                response=_grpc_message(
                    response.headers.get("grpc-encoding", "identity"), response.data
                ),
                response_type=response.headers.get("content-type", ""),
                is_grpc=True,
            )
        )
    return result


def _http2_streams(stream: bytes) -> dict[int, _Stream]:
    """Assembles header blocks and data of all streams of one direction."""
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    decoder.max_allowed_table_size = 1 << 20
    streams: dict[int, _Stream] = {}
    block = bytearray()
    offset = 0
    while offset + 9 <= len(stream):
        length = int.from_bytes(stream[offset : offset + 3], "big")
        kind, flags = stream[offset + 3], stream[offset + 4]
        stream_id = int.from_bytes(stream[offset + 5 : offset + 9], "big") & 0x7FFFFFFF
        payload = stream[offset + 9 : offset + 9 + length]
        if len(payload) < length:
            break  # the capture ends in the middle of this frame
        offset += 9 + length
        if kind == DATA:
            streams.setdefault(stream_id, _Stream()).data += _unpadded(flags, payload)
        elif kind == RST_STREAM:
            # A server may end a stream early with NO_ERROR after its answer (RFC 9113, 8.1).
            code = struct.unpack(">I", payload)[0]
            streams.setdefault(stream_id, _Stream()).is_reset |= code != 0
        elif kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                payload = _unpadded(flags, payload)
                if flags & PRIORITY:
                    payload = payload[5:]
                block.clear()
            block += payload
            if flags & 0x4:  # END_HEADERS
                headers = streams.setdefault(stream_id, _Stream()).headers
                for name, value in decoder.decode(bytes(block), raw=True):
                    headers[name.decode()] = value.decode("latin-1")
    return streams


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    return payload[1 : len(payload) - payload[0]]


def _grpc_message(encoding: str, data: bytearray) -> bytes:
    """Takes the one message of a unary call out of its length-prefixed frame."""
    if not data:
        return b""
    is_compressed, length = struct.unpack(">?I", data[:5])
    message = bytes(data[5 : 5 + length])
    if len(message) < length:
        raise WireError("the capture ends in the middle of a gRPC message")
    return decompress(encoding, message) if is_compressed else message


# HTTP/1.1


@dataclass
class _Message:
    start: str
    headers: dict[str, str]
    body: bytes


def _http1_exchanges(client: bytes, server: bytes) -> list[Exchange]:
    requests, responses = _http1_messages(client), _http1_messages(server)
    responses = [message for message in responses if not message.start.startswith("HTTP/1.1 1")]
    result = []
    for index, request in enumerate(requests):
        response = responses[index] if index < len(responses) else None
        encoding = request.headers.get("content-encoding", "identity")
        answer_encoding = response.headers.get("content-encoding", "") if response else ""
        result.append(
            Exchange(
                path=request.start.split(" ")[1],
                request=decompress(encoding, request.body),
                request_type=request.headers.get("content-type", ""),
                encoding=encoding,
                status=response.start.split(" ")[1] if response else "none",
                status_message=response.body[:200].decode("latin-1") if response else "",
                response=decompress(answer_encoding, response.body) if response else b"",
                response_type=response.headers.get("content-type", "") if response else "",
                is_grpc=False,
            )
        )
    return result


def _http1_messages(stream: bytes) -> list[_Message]:
    messages = []
    offset = 0
    while (head_end := stream.find(b"\r\n\r\n", offset)) >= 0:
        start, *lines = stream[offset:head_end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        offset = head_end + 4
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body, offset = _chunked_body(stream, offset)
        else:
            length = int(headers.get("content-length", "0"))
            body = stream[offset : offset + length]
            offset += length
        if offset > len(stream):
            raise WireError("the capture ends in the middle of an HTTP body")
        messages.append(_Message(start, headers, body))
    return messages


def _chunked_body(stream: bytes, offset: int) -> tuple[bytes, int]:
    body = bytearray()
    while True:
        line_end = stream.find(b"\r\n", offset)
        if line_end < 0:
            raise WireError("the capture ends in the middle of a chunked HTTP body")
        size = int(stream[offset:line_end].split(b";")[0], 16)
        offset = line_end + 2
        if size == 0:
            # Trailers are not used by OTLP: the body ends with an empty line.
            return bytes(body), stream.index(b"\r\n", offset) + 2
        body += stream[offset : offset + size]
        offset += size + 2

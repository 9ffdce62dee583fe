"""An OTLP backend that keeps the raw bytes of every request: gRPC and HTTP, nothing decoded.

As a program: `python -m interop.recorder --grpc PORT --http PORT`; `GET /requests` on the HTTP
port answers with all requests as JSON (signal, transport, content type, sha256, base64 bytes),
`DELETE /requests` forgets them.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from interop import otlp
from interop.kept import Kept
from interop.sabotage import MODES

PROTOBUF = "application/x-protobuf"
GRPC_WORKERS = 8


class Recorder(Kept):
    """Listens on two loopback ports and answers OK to everything it can keep."""

    def __init__(self, grpc_port: int, http_port: int, sabotage: str = "none") -> None:
        super().__init__(sabotage)
        self.grpc_port = grpc_port
        self.http_port = http_port
        self._grpc = _grpc_server(self)
        self._http = _HttpServer(("127.0.0.1", http_port), self)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stops both listeners."""
        self._grpc.stop(0)
        self._http.shutdown()
        self._http.server_close()


def _grpc_server(recorder: Recorder) -> grpc.Server:
    server = grpc.server(
        ThreadPoolExecutor(GRPC_WORKERS, thread_name_prefix="recorder-grpc"),
        options=[
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.so_reuseport", 0),
        ],
    )
    for path, signal in otlp.GRPC_PATHS.items():
        service = path.split("/")[1]

        def export(body: bytes, _context: Any, signal: str = signal) -> bytes:
            recorder.keep(signal, "grpc", PROTOBUF, body)
            return b""  # an empty answer is the complete success

        # No (de)serializer is given: the handler gets and gives the raw message bytes.
        handler = grpc.unary_unary_rpc_method_handler(export)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
        )
    if server.add_insecure_port(f"127.0.0.1:{recorder.grpc_port}") == 0:
        raise RuntimeError(f"the recorder cannot listen on port {recorder.grpc_port}")
    server.start()
    return server


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], recorder: Recorder) -> None:
        super().__init__(address, _HttpHandler)
        self.recorder = recorder


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer
    # Headers and body leave in one segment; otherwise Nagle's algorithm adds 40 ms per answer.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = self._body()
        signal = otlp.HTTP_PATHS.get(self.path)
        content_type = self.headers.get("Content-Type", "").split(";")[0].strip()
        encoding = self.headers.get("Content-Encoding", "identity")
        if signal is None:
            return self._answer(404, "text/plain", b"no such path")
        if content_type not in (PROTOBUF, "application/json"):
            return self._answer(415, "text/plain", b"no such content type")
        if encoding not in ("identity", "gzip"):
            return self._answer(415, "text/plain", b"no such content encoding")
        if encoding == "gzip":
            body = gzip.decompress(body)
        self.server.recorder.keep(signal, "http", content_type, body)
        return self._answer(200, content_type, b"{}" if otlp.is_json(content_type) else b"")

    def do_GET(self) -> None:
        if self.path != "/requests":
            return self._answer(404, "text/plain", b"no such path")
        listing = [
            {
                "signal": request.signal,
                "transport": request.transport,
                "content_type": request.content_type,
                "sha256": request.sha256,
                "body": base64.b64encode(request.body).decode(),
            }
            for request in self.server.recorder.requests()
        ]
        return self._answer(200, "application/json", json.dumps(listing).encode())

    def do_DELETE(self) -> None:
        self.server.recorder.forget()
        self._answer(200, "text/plain", b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line per request would drown the test's own output."""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Runs the recorder until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grpc", type=int, default=4317, help="gRPC port")
    parser.add_argument("--http", type=int, default=4318, help="HTTP port")
    parser.add_argument("--sabotage", choices=MODES, default="none")
    options = parser.parse_args()
    recorder = Recorder(options.grpc, options.http, options.sabotage)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        recorder.close()


if __name__ == "__main__":
    main()

"""A TCP pass-through that keeps what went through it.

It stands between a sender and the server under test. It forwards bytes and nothing else, so both
sides meet each other's real framing, compression and connection handling.
"""

from __future__ import annotations

import asyncio
import threading

from interop import wire

READ_BYTES = 256 * 1024


class _Connection:
    """Both directions of one captured connection."""

    def __init__(self) -> None:
        self.client = bytearray()
        self.server = bytearray()


class Tee:
    """Listens on one loopback port and forwards each connection to another one."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self.port = port
        self._upstream_port = upstream_port
        self._connections: list[_Connection] = []
        # The event loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"tee-{port}", daemon=True)
        self._is_listening = threading.Event()
        self._thread.start()
        if not self._is_listening.wait(10):
            raise RuntimeError(f"the pass-through cannot listen on port {port}")

    def exchanges(self) -> list[wire.Exchange]:
        """Everything that was exchanged so far, over all connections."""
        result = []
        for connection in list(self._connections):
            result += wire.exchanges(bytes(connection.client), bytes(connection.server))
        return result

    def close(self) -> None:
        """Stops listening and cuts what is still open."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port)
        )
        self._is_listening.set()
        self._loop.run_forever()
        server.close()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.close()  # the sender sees what it would see without the pass-through
            return
        connection = _Connection()
        self._connections.append(connection)
        try:
            await asyncio.gather(
                _pump(reader, up_writer, connection.client),
                _pump(up_reader, writer, connection.server),
            )
        except (OSError, asyncio.CancelledError):
            pass  # a cut connection is one of the things that peers do
        finally:
            writer.close()
            up_writer.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    """Copies one direction until its end, and hands the end on."""
    while chunk := await reader.read(READ_BYTES):
        kept += chunk
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()

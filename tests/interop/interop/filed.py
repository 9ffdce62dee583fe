"""The end of a chain: the files that a GopherShip writes, one for each signal, a request a line."""

from __future__ import annotations

from pathlib import Path

from interop import otlp
from interop.kept import Kept, Recorded


class Filed(Kept):
    """Reads the lines of the files as they grow; for one thread at a time."""

    def __init__(self, directory: Path, sabotage: str) -> None:
        super().__init__(sabotage)
        self._paths = {signal: directory / f"{signal}.json" for signal in otlp.SIGNALS}
        self._read_bytes = dict.fromkeys(otlp.SIGNALS, 0)

    def requests(self) -> list[Recorded]:
        """Every line that is complete; a last one without its end is still being written."""
        for signal, path in self._paths.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read_bytes[signal])
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read_bytes[signal] += len(line)
                    self.keep(signal, "file", "application/json", line)
        return super().requests()

    def torn(self) -> list[str]:
        """The files that end inside a line; after the end of their writer none may."""
        self.requests()
        return [
            path.name
            for signal, path in self._paths.items()
            if path.exists() and path.stat().st_size != self._read_bytes[signal]
        ]

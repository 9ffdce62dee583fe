"""Child processes and loopback ports of a scenario."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

_taken_ports: set[int] = set()


class LabError(Exception):
    """A process of the scenario did not do its part."""


def free_port() -> int:
    """Finds a loopback port that nobody listens on.

    It lies below the range from which the kernel takes ports for outgoing connections, so it is
    still free when the process that is told about it binds it.
    """
    for _ in range(1000):
        port = random.randint(20_000, 32_000)
        if port in _taken_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port
    raise LabError("no free loopback port was found")


def wait_until(what: str, seconds: float, is_done: Callable[[], bool]) -> None:
    """Polls a condition; raises when it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def is_listening(port: int) -> bool:
    """Whether a loopback port takes connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _spawn(
    command: list[str], env: dict[str, str], stdout: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    """Starts a process that the kernel ends when this one dies, were it by SIGKILL."""
    # Not a `preexec_fn`: Python would then fork, which the gRPC library of the recorder forbids.
    setpriv = shutil.which("setpriv")
    return subprocess.Popen(
        [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        env={**os.environ, **env},
    )


class Child:
    """A server process; its output goes to a file that outlives it."""

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = _spawn(command, env, output)

    def wait_ready(self, seconds: float, is_ready: Callable[[], bool]) -> None:
        """Waits until the server serves; raises at once when it ends instead."""

        def is_done() -> bool:
            if self._process.poll() is not None:
                raise LabError(
                    f"{self.name} ended with {self._process.returncode}: {self.log_tail()}"
                )
            return is_ready()

        try:
            wait_until(f"{self.name} is ready", seconds, is_done)
        except LabError:
            self.kill()
            raise

    def terminate(self, seconds: float) -> int | None:
        """Asks the process to end; gives its exit code, or None when it had to be killed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def log_tail(self, size: int = 600) -> str:
        """The last characters of its output."""
        return self.log.read_text(errors="replace")[-size:].strip()


def run_client(
    name: str, command: list[str], log: Path, env: dict[str, str], seconds: float
) -> str:
    """Runs a program to its end and gives its output; raises when it fails."""
    process = _spawn(command, env, subprocess.PIPE)
    try:
        output = process.communicate(timeout=seconds)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0].decode(errors="replace")
        log.write_text(output)
        raise LabError(f"{name} did not end within {seconds:g} s: {output[-400:]}") from None
    log.write_text(output)
    if process.returncode != 0:
        raise LabError(f"{name} ended with {process.returncode}: {output[-600:].strip()}")
    return output

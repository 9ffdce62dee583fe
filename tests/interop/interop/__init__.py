"""Interoperability tests of GopherShip: real OTLP peers in front of it and behind it."""

import os

# Read by grpcio when it is loaded: this program starts others, and none of them uses its sockets.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

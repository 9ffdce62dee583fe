"""The bucket of the scenarios that have one, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass

BUCKET = "archive"


@dataclass
class BucketOutcome:
    """What came of it, for a row of the table: objects that the client wrote and that boto3 read."""

    sent: int
    received: int
    problems: list[str]
    seconds: float = 0.0
    note: str = ""

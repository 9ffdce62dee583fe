"""A bucket on SeaweedFS, which our client and boto3 both write and read."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from interop.example import example_archives
from interop.lab import Tools
from interop.outcome import BUCKET, BucketOutcome
from interop.processes import Child, LabError, free_port, is_listening, run_client

START_SECONDS = 60
CLIENT_SECONDS = 120
ACCESS_KEY, SECRET_KEY = "interop-access", "interop-secret"
THEIRS = 200_000
OURS = {"ours/date=2026-11-29/object": 300_000, "parts/large": (10 << 20) + 1}
"""What the client leaves behind, and how long it is."""


class SeaweedFs:
    """A server with one bucket and one access key."""

    def __init__(self, log: Path) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="gs-seaweed."))
        self.endpoint = ""
        self._child: Child | None = None
        try:
            self._start(log)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the server at once, because a graceful end takes it 16 seconds."""
        if self._child is not None:
            self._child.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def client(self) -> Any:
        """boto3, for this server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def environment(self) -> dict[str, str]:
        """What leads an AWS SDK here."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "GS_TEST_BUCKET": BUCKET,
        }

    def _start(self, log: Path) -> None:
        identity = {
            "name": "interop",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.dir / "identities.json"
        config.write_text(json.dumps({"identities": [identity]}))
        # Each also needs the port 10,000 above it, for gRPC.
        ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        command = [
            os.environ["INTEROP_WEED"],
            "server",
            f"-dir={self.dir}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={ports['master']}",
            "-master.volumeSizeLimitMB=64",
            f"-volume.port={ports['volume']}",
            "-volume.max=16",
            "-filer",
            f"-filer.port={ports['filer']}",
            "-s3",
            f"-s3.port={ports['s3']}",
            f"-s3.config={config}",
            "-s3.autoCreateBucket=false",
        ]
        self._child = Child("SeaweedFS", command, log, {})
        self.endpoint = f"http://127.0.0.1:{ports['s3']}"
        self._child.wait_ready(START_SECONDS, lambda: is_listening(ports["s3"]))
        self._child.wait_ready(START_SECONDS, self._has_bucket)

    def _has_bucket(self) -> bool:
        """Makes the bucket, as soon as the parts of the server have found each other."""
        try:
            self.client().create_bucket(Bucket=BUCKET)
            self.client().put_object(Bucket=BUCKET, Key="probe", Body=b"x")
        except ClientError as error:
            return error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
        except Exception:  # it does not listen yet, or answers with something else
            return False
        return True


@dataclass(frozen=True)
class BucketScenario:
    """One row of the table."""

    name: str
    run: Callable[[SeaweedFs, Tools], BucketOutcome]

    def play(self, tools: Tools) -> BucketOutcome:
        """Runs the scenario with a server of its own; a failure of any part becomes a problem."""
        start = time.monotonic()
        try:
            server = SeaweedFs(tools.log_dir / "seaweedfs.log")
            try:
                outcome = self.run(server, tools)
            finally:
                server.close()
        except Exception as error:  # a broken scenario must not keep the others from running
            outcome = BucketOutcome(0, 0, [f"{type(error).__name__}: {error}"])
        outcome.seconds = time.monotonic() - start
        return outcome


def bucket_scenarios() -> list[BucketScenario]:
    """Every scenario with a bucket."""
    return [
        BucketScenario("Bucket on SeaweedFS: our client and boto3", _both_write_and_read),
        BucketScenario("Bucket on SeaweedFS: the example archives", example_archives),
    ]


def pattern(size: int) -> bytes:
    """Bytes of which the client computes the same."""
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]


def _both_write_and_read(server: SeaweedFs, tools: Tools) -> BucketOutcome:
    boto = server.client()
    metadata = {"writer": "boto3"}
    boto.put_object(Bucket=BUCKET, Key="theirs/object", Body=pattern(THEIRS), Metadata=metadata)
    if tools.is_self_test:
        for key, size in OURS.items():
            boto.put_object(Bucket=BUCKET, Key=key, Body=pattern(size))
    else:
        log = tools.log_dir / "bucket-client.log"
        command = [os.environ["INTEROP_S3_CLIENT"], "--test-threads=1"]
        output = run_client("S3 client", command, log, server.environment(), CLIENT_SECONDS)
        if "test result: ok" not in output or "running 0 tests" in output:
            raise LabError(f"the client tested nothing: {output[-400:]}")
    if tools.sabotage in ("lose", "alter"):
        _damage(boto, tools.sabotage)
    return _outcome(boto, is_self_test=tools.is_self_test)


def _damage(boto: Any, mode: str) -> None:
    key = next(iter(OURS))
    if mode == "lose":
        boto.delete_object(Bucket=BUCKET, Key=key)
    else:
        boto.put_object(Bucket=BUCKET, Key=key, Body=pattern(OURS[key])[:-1] + b"x")


def _outcome(boto: Any, *, is_self_test: bool) -> BucketOutcome:
    problems = []
    received = 0
    for key, size in OURS.items():
        try:
            answer = boto.get_object(Bucket=BUCKET, Key=key)
        except ClientError as error:
            problems.append(f"{key}: {error}")
            continue
        if answer["Body"].read() == pattern(size):
            received += 1
        else:
            problems.append(f"{key} is not what was written")
        if not is_self_test and key.startswith("ours/"):
            if answer["Metadata"] != {"records": "17"}:
                problems.append(f"{key} has the metadata {answer['Metadata']}")
            if answer["ContentType"] != "application/zstd":
                problems.append(f"{key} has the type {answer['ContentType']}")
    if uploads := boto.list_multipart_uploads(Bucket=BUCKET).get("Uploads"):
        problems.append(f"{len(uploads)} uploads in parts were not ended")
    return BucketOutcome(len(OURS), received, problems)

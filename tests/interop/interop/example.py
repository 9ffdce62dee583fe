"""The example `s3-archive.yaml` on SeaweedFS, with nothing but variables, and the way back."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop.outcome import BUCKET, BucketOutcome
from interop.processes import Child, LabError, is_listening, wait_until

if TYPE_CHECKING:
    from interop.bucket import SeaweedFs
    from interop.lab import Tools

EXAMPLE = Path(__file__).parents[3] / "config/examples/s3-archive.yaml"
RECORDS = 50
HTTP_PORT = 4318
METRICS_PORT = 9091
READY_SECONDS = 30
ARCHIVED_SECONDS = 60
STOP_SECONDS = 30
PREFIX = "gophership"


def example_archives(server: SeaweedFs, tools: Tools) -> BucketOutcome:
    """Sends records to the example, and looks for them in the bucket."""
    texts = [f"record {number} of the example." for number in range(RECORDS)]
    boto = server.client()
    if tools.is_self_test:
        body = "\n".join(texts).encode()
        boto.put_object(Bucket=BUCKET, Key=f"{PREFIX}/v1/seg/1", Body=body)
    else:
        _archive(server, tools, texts)
    keys = _keys(boto)
    segment = next(key for key in keys if "/seg/" in key)
    if tools.sabotage == "lose":
        boto.delete_object(Bucket=BUCKET, Key=segment)
    elif tools.sabotage == "alter":
        boto.put_object(Bucket=BUCKET, Key=segment, Body=b"something else")
    problems = []
    if not tools.is_self_test:
        problems += _form(boto, _keys(boto))
    said = _read_back(server, tools, boto)
    received = sum(text in said for text in texts)
    if received != RECORDS:
        problems.append(f"{RECORDS - received} records are not in the archive")
    return BucketOutcome(RECORDS, received, problems)


def _archive(server: SeaweedFs, tools: Tools, texts: list[str]) -> None:
    """Runs the example until everything that it acknowledged is in the bucket."""
    # The example has the ports that people use; another program there would answer in its place.
    for port in (HTTP_PORT, METRICS_PORT):
        if is_listening(port):
            raise LabError(f"another program listens on port {port}, which the example needs")
    data = tempfile.TemporaryDirectory(prefix="gs-example.")
    env = {
        **server.environment(),
        "S3_BUCKET": BUCKET,
        "S3_PATH_STYLE": "true",
        "DATA_DIR": data.name,
        "SEGMENT_AGE": "1s",
    }
    command = [tools.gophership, "run", str(EXAMPLE)]
    child = Child("the example", command, tools.log_dir / "example.log", env)
    try:
        child.wait_ready(READY_SECONDS, lambda: is_listening(HTTP_PORT))
        records = [{"body": {"stringValue": text}} for text in texts]
        request = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
        post = urllib.request.Request(
            f"http://127.0.0.1:{HTTP_PORT}/v1/logs",
            data=json.dumps(request).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(post, timeout=10) as answer:
            if answer.status != 200:
                raise LabError(f"the example answered {answer.status}")
        boto = server.client()

        def is_archived() -> bool:
            return any("/manifest/" in key for key in _keys(boto))

        wait_until("the example has archived a segment", ARCHIVED_SECONDS, is_archived)
        code = child.terminate(STOP_SECONDS)
        if code != 0:
            raise LabError(f"the example ended with {code}: {child.log_tail()}")
    finally:
        child.kill()
        data.cleanup()


def _keys(boto: Any) -> list[str]:
    found = boto.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/v1/").get("Contents", [])
    return [item["Key"] for item in found]


def _form(boto: Any, keys: list[str]) -> list[str]:
    """What is wrong with the objects, for boto3 and the stock tool."""
    problems = []
    for key in keys:
        body = boto.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        if key.endswith(".json"):
            json.loads(body)
            continue
        unpacked = subprocess.run(["zstd", "-dcq"], input=body, capture_output=True, check=False)
        if unpacked.returncode != 0 or not unpacked.stdout:
            problems.append(f"the zstd tool does not open {key}")
    return problems


def _read_back(server: SeaweedFs, tools: Tools, boto: Any) -> str:
    """What the archive says."""
    if tools.is_self_test:
        bodies = [boto.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in _keys(boto)]
        return b"\n".join(bodies).decode()
    url = f"s3://{BUCKET}/{PREFIX}"
    command = [tools.gophership, "vault", "cat", url, "--s3-path-style"]
    env = {**os.environ, **server.environment()}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)
    return done.stdout.decode(errors="replace")

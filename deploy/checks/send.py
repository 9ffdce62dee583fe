"""Sends log records through the OpenTelemetry SDK: `send.py FROM TO` says `record N` for each N from FROM below TO."""

import logging
import sys

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor


def main():
    first, last = int(sys.argv[1]), int(sys.argv[2])
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint="127.0.0.1:4317", insecure=True)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger("check")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for number in range(first, last):
        logger.info("record %d", number)
    is_sent = provider.force_flush(30_000)
    provider.shutdown()
    if not is_sent:
        sys.exit("the SDK could not send everything")


if __name__ == "__main__":
    main()

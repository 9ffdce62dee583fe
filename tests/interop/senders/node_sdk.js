// Sends logs, spans and metrics with the OpenTelemetry SDK for Node.js; prints what it was told.
//
// Options and output are those of python_sdk.py, but for --protocol: grpc, http/protobuf or
// http/json. NODE_PATH names the folder with the packages of package.json.
'use strict';

const { parseArgs } = require('node:util');
const api = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const {
  AggregationType,
  InstrumentType,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const options = parseArgs({
  options: {
    protocol: { type: 'string' },
    gzip: { type: 'boolean', default: false },
    endpoint: { type: 'string' },
    run: { type: 'string' },
    logs: { type: 'string' },
    spans: { type: 'string' },
    points: { type: 'string' },
  },
}).values;

const PACKAGE_SUFFIX = { grpc: 'grpc', 'http/protobuf': 'proto', 'http/json': 'http' };
const CLASSES = { logs: 'OTLPLogExporter', traces: 'OTLPTraceExporter', metrics: 'OTLPMetricExporter' };
const totals = { ok: 0, failed: 0 };

/** Makes the exporter of one signal and counts what its exports end in. */
function exporter(signal) {
  const name = signal === 'traces' ? 'trace' : signal;
  const module = require(`@opentelemetry/exporter-${name}-otlp-${PACKAGE_SUFFIX[options.protocol]}`);
  const path = options.protocol === 'grpc' ? '' : `/v1/${signal}`;
  const made = new module[CLASSES[signal]]({
    url: `http://${options.endpoint}${path}`,
    compression: options.gzip ? 'gzip' : 'none',
  });
  const send = made.export.bind(made);
  made.export = (items, done) =>
    send(items, (result) => {
      totals[result.code === 0 ? 'ok' : 'failed'] += 1;
      if (result.error) console.error(signal, result.error);
      done(result);
    });
  return made;
}

const id = (signal, index) => `${options.run}/${signal}/${String(index).padStart(6, '0')}`;

const resource = resourceFromAttributes({
  'service.name': 'storefront',
  'host.cores': 2,
  'cloud.zones': ['a', 'b'],
  'zone.\u00fcber': 'non-ASCII key',
});

const BODIES = [
  'a plain sentence',
  'non-ASCII: Gr\u00fc\u00dfe, \u65e5\u672c\u8a9e, \u{1f6a2}',
  '',
  42,
  3.5,
  true,
  new Uint8Array([0, 255, 7]),
  ['a', 1, 2.5, ['nested', false]],
  { user: { id: 7, tags: ['x', 'y'] }, cost: 0.25 },
  'long line '.repeat(800),
];
const SEVERITIES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL4'];

async function sendLogs(count) {
  const processor = new BatchLogRecordProcessor({
    exporter: exporter('logs'),
    maxQueueSize: 100000,
    maxExportBatchSize: 200,
  });
  const provider = new LoggerProvider({ resource, processors: [processor] });
  const loggers = [
    provider.getLogger('http.server', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' }),
    provider.getLogger('worker'),
  ];
  for (let index = 0; index < count; index++) {
    const severity = SEVERITIES[index % SEVERITIES.length];
    loggers[index % loggers.length].emit({
      eventName: index % 5 === 0 ? 'order.placed' : undefined,
      severityNumber: SeverityNumber[severity],
      severityText: severity,
      body: BODIES[index % BODIES.length],
      attributes: {
        'interop.id': id('logs', index),
        'http.status': 200 + (index % 300),
        ratio: index / 7,
        'is.first': index === 0,
        steps: ['parse', 'charge', 'ship'],
      },
      context: index % 3 === 0 ? logContext(index) : undefined,
    });
  }
  await provider.forceFlush();
  await provider.shutdown();
}

/** Makes the context that ties a log record to a trace. */
function logContext(index) {
  return api.trace.setSpanContext(api.ROOT_CONTEXT, {
    traceId: (0x1000000 + index).toString(16).padStart(32, 'a'),
    spanId: (0x1000000 + index).toString(16).padStart(16, 'b'),
    traceFlags: index % 2,
  });
}

async function sendTraces(count) {
  const processor = new BatchSpanProcessor(exporter('traces'), {
    maxQueueSize: 100000,
    maxExportBatchSize: 200,
  });
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] });
  const tracer = provider.getTracer('spans', '0.9');
  let parent;
  for (let index = 0; index < count; index++) {
    const isChild = parent && index % 4;
    const context = isChild ? api.trace.setSpan(api.ROOT_CONTEXT, parent) : api.ROOT_CONTEXT;
    const links =
      parent && index % 5 === 0 ? [{ context: parent.spanContext(), attributes: { why: 'retry' } }] : [];
    const span = tracer.startSpan(
      `step ${index % 10}`,
      { kind: index % 5, links, attributes: { 'interop.id': id('traces', index), 'db.rows': index } },
      context,
    );
    if (index % 3 === 0) span.addEvent('cache miss', { 'cache.key': `k${index}`, sizes: [1, 2, 3] });
    if (index % 11 === 0) span.recordException(new Error('no such order'));
    if (index % 6 < 2) span.setStatus({ code: index % 6 === 0 ? 2 : 1, message: 'declined' });
    span.end();
    parent = span;
  }
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendMetrics(count) {
  const reader = new PeriodicExportingMetricReader({
    exporter: exporter('metrics'),
    exportIntervalMillis: 2 ** 31 - 1,
    exportTimeoutMillis: 30000,
  });
  const provider = new MeterProvider({
    resource,
    readers: [reader],
    views: [
      {
        instrumentType: InstrumentType.HISTOGRAM,
        instrumentName: 'queue.*',
        aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM },
      },
    ],
  });
  const meter = provider.getMeter('meters', '2.0');
  const counter = meter.createCounter('orders.placed', { unit: '{order}', description: 'Orders so far' });
  const open = meter.createUpDownCounter('orders.open', { unit: '{order}' });
  const latency = meter.createHistogram('http.latency', { unit: 'ms' });
  const wait = meter.createHistogram('queue.wait', { unit: 's' });
  const temperature = meter.createGauge('temperature', { unit: 'Cel' });
  const record = [
    (value, attributes) => counter.add(value, attributes),
    (value, attributes) => open.add(value, attributes),
    (value, attributes) => latency.record(value, attributes),
    (value, attributes) => wait.record(value, attributes),
    (value, attributes) => temperature.record(value, attributes),
  ];
  for (let collection = 0; collection < 2; collection++) {
    for (let index = 0; index < count; index++) {
      const value = (index + 1) * (collection + 1) * (index % 2 ? 0.5 : 1);
      record[index % record.length](value, { 'interop.id': id('metrics', index), region: 'eu' });
    }
    await (collection === 0 ? provider.forceFlush() : provider.shutdown());
  }
}

async function main() {
  await sendLogs(Number(options.logs));
  await sendTraces(Number(options.spans));
  await sendMetrics(Number(options.points));
  console.log(JSON.stringify({ ...totals, flushed: true }));
  process.exitCode = totals.failed === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

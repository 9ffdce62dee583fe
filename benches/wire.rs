//! `cargo bench --bench wire`: what the wire view costs per record.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a tool for the terminal")]
#![expect(clippy::unwrap_used, reason = "its requests are well formed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use gophership_otlp::demo::{demo_logs, demo_metrics, demo_traces};
use gophership_otlp::{
    AnyValueView, DecodeLimits, Edit, EditOperation, Editor, Level, Signal, Table, Value, decode,
    inspect, json_to_wire, prescan, prescan_envelope, retain, wire_to_json,
};

fn measure(name: &str, records: usize, bytes: usize, mut work: impl FnMut()) {
    let rounds = 20_000_000 / bytes.max(1) + 1;
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / rounds as f64);
    }
    let (per_record, rate) = (best / records as f64, bytes as f64 / best);
    println!("  {name:<28} {per_record:>9.2} ns/record {rate:>8.2} GB/s");
}

fn edit(level: Level, key: &str, operation: EditOperation) -> Edit {
    Edit { level, key: key.to_owned(), operation }
}

fn main() {
    let limits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 32 };
    let set = || EditOperation::Set(Value::String("production".to_owned()));
    let resource = Editor::new(vec![edit(Level::Resource, "deployment.environment", set())]);
    let table = Arc::new(Table::from([("GET".to_owned(), Value::Bool(true))]));
    let lookup = EditOperation::Lookup {
        from: "http.request.method".to_owned(),
        table,
        if_absent: false,
        default: Some(Value::Bool(false)),
    };
    let record = Editor::new(vec![edit(Level::Record, "is_read", lookup)]);
    for (signal, records) in [
        (Signal::Logs, 100),
        (Signal::Logs, 1_000),
        (Signal::Traces, 1_000),
        (Signal::Metrics, 1_000),
    ] {
        let bytes = match signal {
            Signal::Logs => demo_logs(records, 1, 1_700_000_000_000_000_000),
            Signal::Traces => demo_traces(records, 1, 1_700_000_000_000_000_000),
            Signal::Metrics => demo_metrics(records, 1, 1_700_000_000_000_000_000),
        };
        let each = bytes.len() / records;
        println!("{signal}, {records} records of {each} bytes");
        let run = |name: &str, work: &mut dyn FnMut()| measure(name, records, bytes.len(), work);
        run("prescan_envelope", &mut || {
            black_box(prescan_envelope(signal, black_box(&bytes)).unwrap());
        });
        run("prescan", &mut || {
            black_box(prescan(signal, black_box(&bytes)).unwrap());
        });
        run("inspect", &mut || {
            black_box(inspect(signal, black_box(&bytes), &limits).unwrap());
        });
        run("decode", &mut || {
            black_box(decode(signal, black_box(&bytes), &limits).unwrap());
        });
        run("edit resource: set", &mut || {
            black_box(resource.apply(signal, black_box(&bytes), usize::MAX).unwrap());
        });
        run("edit records: lookup", &mut || {
            black_box(record.apply(signal, black_box(&bytes), usize::MAX).unwrap());
        });
        run("retain by attribute", &mut || {
            let keep = |record: &gophership_otlp::RecordView<'_>| {
                record.attribute("http.route").and_then(AnyValueView::as_str) != Some("/healthz")
            };
            black_box(retain(signal, black_box(&bytes), keep).unwrap());
        });
        let mut json = Vec::new();
        run("wire_to_json", &mut || {
            json.clear();
            wire_to_json(signal, black_box(&bytes), &limits, &mut json).unwrap();
        });
        run("json_to_wire", &mut || {
            black_box(json_to_wire(signal, black_box(&json), &limits).unwrap());
        });
    }
}

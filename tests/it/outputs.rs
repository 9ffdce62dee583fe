//! Outputs that block, break or vanish: the log and standard output; and signals that come early.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use bytes::Bytes;

use crate::bare::Bare;
use crate::bare::SOON;
use crate::bare::WELL_BEFORE;
use crate::bare::fifo;
use crate::bare::metrics;
use crate::bare::pipe;
use crate::bare::send;
use crate::bare::site;
use crate::bare::with_vault;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::eventually_async;
use crate::harness::get;
use crate::harness::gs_ctl;

/// At `trace` hyper says a lot.
const BLACKHOLE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, connection: { http2: hyper } }
sinks:
  nothing: { type: blackhole, inputs: [otlp] }
"#;

fn nowhere() -> Site {
    site(BLACKHOLE)
}

/// Scenario: the log goes to a pipe that nobody reads any more, or to a disk that is full.
/// Guarantees: the process starts, takes requests, reloads and stops as ever, and counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let (reader, closed) = pipe();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for stderr in [Stdio::from(closed), Stdio::from(full)] {
        let site = nowhere();
        let mut process = Bare::spawn(&site, "info", Stdio::null(), stderr);
        process.ready(&site).await;
        send(&site, &Traffic::default(), 3).await;
        process.signal(ProcessSignal::HUP);
        eventually_async(SOON, "it is reloaded and counts", async || {
            let metrics = metrics(&site).await;
            let count = |name| metrics.sum(name, &[]);
            count("gophership_config_reloads_total") == 1
                && count("gophership_log_write_errors_total") > 0
        })
        .await;
        process.signal(ProcessSignal::TERM);
        let status = process.exit(SOON).await;
        assert!(status.success(), "{status}");
    }
}

/// A process whose log nobody reads, and so much to log that lines are dropped.
async fn with_a_full_log(site: &Site) -> (Bare, File) {
    let (reader, stderr) = pipe();
    let mut process = Bare::spawn(site, "trace", Stdio::null(), stderr);
    process.ready(site).await;
    let traffic = Traffic::default();
    eventually_async(SOON, "the log is full", async || {
        send(site, &traffic, 20).await;
        metrics(site).await.sum("gophership_log_lines_dropped_total", &[]) > 0
    })
    .await;
    (process, reader)
}

/// Scenario: whoever reads the log stands still until it is full, goes on for a while, and stands still
/// again; then `SIGTERM`.
/// Guarantees: requests, `gs-ctl` and the stop do not notice; drops are counted and told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let site = nowhere();
    let (mut process, mut reader) = with_a_full_log(&site).await;
    let status =
        Command::new(gs_ctl()).arg("--socket").arg(site.socket()).arg("status").output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let told = std::thread::spawn(move || {
        let (mut text, mut piece) = (String::new(), vec![0; 1 << 16]);
        while !text.contains("Dropped log lines") {
            let read = reader.read(&mut piece).unwrap();
            assert!(read > 0, "the log ended without a word");
            // The end of the piece before may have the first half of it.
            let kept = text.len().saturating_sub(1000);
            text = text.chars().skip(kept).collect();
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        reader
    });
    let traffic = Traffic::default();
    eventually_async(SOON, "drops are told", async || {
        send(&site, &traffic, 1).await;
        told.is_finished()
    })
    .await;
    let _stands_still_again = told.join().unwrap();
    send(&site, &traffic, 50).await;
    process.signal(ProcessSignal::TERM);
    let status = process.exit(SOON).await;
    assert!(status.success(), "{status}");
}

/// Scenario: nobody reads the log, and a backend hangs; then `SIGTERM`, twice.
/// Guarantees: the second one ends the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_although_nobody_reads_the_log() {
    let backend = Backend::start().await;
    let site = nowhere();
    let (mut process, _reader) = with_a_full_log(&site).await;
    backend.set(Mode::Hang);
    let address = backend.address();
    site.configure(&format!(
        r#"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "$GRPC" }} }}
sinks:
  nothing: {{ type: otlp, inputs: [otlp], endpoint: "http://{address}" }}
"#
    ));
    process.signal(ProcessSignal::HUP);
    eventually_async(SOON, "it is reloaded", async || {
        metrics(&site).await.sum("gophership_config_reloads_total", &[("result", "ok")]) > 0
    })
    .await;
    let (client, parcel) = (GrpcClient::new(site.grpc()), Traffic::default());
    let parcel = parcel.request(Signal::Logs, 1);
    let held = tokio::spawn(async move { client.send(&parcel).await });
    eventually(SOON, "the backend has it", || backend.attempts() > 0).await;
    process.signal(ProcessSignal::TERM);
    eventually_async(SOON, "it is stopping", async || {
        !matches!(get(site.metrics(), "/readyz").await, Some((200, _)))
    })
    .await;
    process.signal(ProcessSignal::TERM);
    let status = process.exit(WELL_BEFORE).await;
    assert_eq!(status.code(), Some(143), "{status}");
    held.await.unwrap().unwrap_err();
}

/// Scenario: `SIGHUP`, `SIGUSR1`, `SIGUSR2` and `SIGXFSZ` come before the configuration is read; then
/// `SIGTERM` in the same place.
/// Guarantees: the process starts and then reloads; or starts and then ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_before_the_start_is_over_are_kept() {
    for is_to_end in [false, true] {
        let site = nowhere();
        let text = fs::read_to_string(site.config()).unwrap();
        fs::remove_file(site.config()).unwrap();
        fifo(&site.config());
        let mut process = Bare::spawn(&site, "info", Stdio::null(), Stdio::null());
        let status = format!("/proc/{}/status", process.id());
        let caught = |signal: ProcessSignal| {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
        };
        let early = [
            ProcessSignal::HUP,
            ProcessSignal::USR1,
            ProcessSignal::USR2,
            ProcessSignal::XFSZ,
            ProcessSignal::TERM,
        ];
        // Whether it reads its configuration is not to be seen; that it asks for it before is.
        let is_caught = || early.iter().all(|signal| caught(*signal));
        eventually(SOON, "the handlers are there", is_caught).await;
        for signal in early.iter().take(if is_to_end { 5 } else { 4 }) {
            process.signal(*signal);
        }
        // Each waits until somebody reads it.
        let write = |(config, text): (PathBuf, String)| {
            tokio::task::spawn_blocking(move || fs::write(config, text).unwrap())
        };
        write((site.config(), text.clone())).await.unwrap();
        if !is_to_end {
            process.ready(&site).await;
            write((site.config(), text)).await.unwrap();
            eventually_async(SOON, "it is reloaded", async || {
                metrics(&site).await.sum("gophership_config_reloads_total", &[("result", "ok")])
                    == 1
            })
            .await;
            process.signal(ProcessSignal::TERM);
        }
        let status = process.exit(SOON).await;
        assert!(status.success(), "{status}");
    }
}

/// Scenario: whoever reads standard output stands still with a request half read; then `SIGTERM`.
/// Guarantees: the process ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_standard_output_that_stands_still_does_not_keep_it_from_ending() {
    let yaml = with_vault("type: console, format: json").replace("grace: 30s", "grace: 1s");
    let site = site(&yaml);
    let (reader, stdout) = pipe();
    let mut process = Bare::spawn(&site, "info", stdout, Stdio::null());
    process.ready(&site).await;
    let client = GrpcClient::new(site.grpc());
    let traffic = Traffic::default();
    for _ in 0..4 {
        client.send(&traffic.padded(Signal::Logs, 1, 64 << 10)).await.unwrap();
    }
    process.signal(ProcessSignal::TERM);
    let status = process.exit(WELL_BEFORE).await;
    assert!(status.success(), "{status}");
    drop(reader);
}

/// Scenario: whoever reads standard output is gone; and a process that has none.
/// Guarantees: nothing counts as delivered, the vault has it, and the stop does not wait for a sink that
/// has failed; without standard output `format: json` is a mistake that ends the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_reads_on_standard_output_is_not_delivered() {
    let mut site = site(&with_vault("type: console, format: json"));
    let (reader, stdout) = pipe();
    drop(reader);
    let mut process = Bare::spawn(&site, "info", stdout, Stdio::null());
    process.ready(&site).await;
    send(&site, &Traffic::default(), 5).await;
    eventually_async(SOON, "the vault has it, and the sink has failed", async || {
        let measured = metrics(&site).await;
        let books = measured.books("logs");
        assert_eq!(books.count("delivered"), 0, "{books:?}");
        let failed = measured.sum("gophership_component_failed", &[("component", "out")]);
        books.count("vaulted") == 5 && failed == 1
    })
    .await;
    let begun = Instant::now();
    process.signal(ProcessSignal::TERM);
    let status = process.exit(WELL_BEFORE).await;
    assert!(status.success(), "{status} after {:?}", begun.elapsed());

    let shell = ["sh", "-c", "exec \"$@\" >&-", "sh"];
    site.before = shell.map(ToOwned::to_owned).to_vec();
    let mut process = Bare::spawn(&site, "info", Stdio::null(), Stdio::null());
    assert_eq!(process.exit(SOON).await.code(), Some(69));
}

/// A request with one log record, whose body is a message that comes in so many pieces.
fn in_pieces(count: usize) -> Vec<u8> {
    let record = b"\x2a\x02\x0a\x00".repeat(count);
    [0x12, 0x12, 0x0a].into_iter().fold(record, |inner, key| {
        let mut outer = vec![key];
        let mut len = inner.len();
        while 0x7f < len {
            outer.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        outer.push(u8::try_from(len).unwrap());
        outer.extend(inner);
        outer
    })
}

/// Scenario: 400 requests that a sink cannot write as JSON.
/// Guarantees: the sender is told why; the log has a hundred lines of them and the count of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_fill_the_log() {
    let yaml = r#"
sources:
  otlp: { type: otlp, http: { listen: "$HTTP" } }
sinks:
  file: { type: file, inputs: [otlp], path: "$DIR/out/{signal}.jsonl" }
"#;
    let site = site(yaml);
    let mut process = site.start().await;
    let client = HttpClient::new(site.http());
    // A log record whose body comes in more pieces than the JSON writer puts together.
    let bad = Bytes::from(in_pieces(1_100));
    let before = process.log().len();
    let mut refused = 0;
    for _ in 0..400 {
        let headers = [("content-type", "application/x-protobuf")];
        let answer = client.post("/v1/logs", &headers, bad.clone()).await;
        refused += usize::from(answer.status != 200);
    }
    assert_eq!(refused, 400, "{}", process.log());
    let suppressed = |metrics: &Metrics| metrics.sum("gophership_log_lines_suppressed_total", &[]);
    assert!(suppressed(&process.metrics().await) > 200);
    let bytes = process.log().len() - before;
    assert!(bytes < 60_000, "{bytes} bytes");
    let log = process.stop(SOON).await;
    assert!(log.contains("Suppressed log lines") && log.contains("suppressed="), "{log}");
}

//! Files that vanish, fill up or are not there yet, and pipes in their place.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::bare::Bare;
use crate::bare::SOON;
use crate::bare::WELL_BEFORE;
use crate::bare::fifo;
use crate::bare::metrics;
use crate::bare::send;
use crate::bare::site;
use crate::bare::with_vault;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::eventually_async;

/// The age at which a file is rotated.
const AGE: Duration = Duration::from_secs(2);

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().matches('\n').count()
}

/// Scenario: the file of a sink is removed, moved, its directory removed, under a running process;
/// `SIGHUP` with nothing changed.
/// Guarantees: what is sent then is found at the path; it is logged and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_vanishes_is_written_where_it_is_found() {
    let site = site(&with_vault("type: file, path: $DIR/out/x.jsonl"));
    let mut process = site.start().await;
    let (traffic, dir) = (Traffic::default(), site.dir().join("out"));
    let path = dir.join("x.jsonl");
    let has = |count| {
        let path = path.clone();
        async move { eventually(SOON, "the file has it", || lines(&path) == count).await }
    };
    send(&site, &traffic, 2).await;
    has(2).await;
    fs::remove_file(&path).unwrap();
    send(&site, &traffic, 1).await;
    has(1).await;
    fs::rename(&path, dir.join("x.jsonl.1")).unwrap();
    send(&site, &traffic, 3).await;
    has(3).await;
    // The sink may make it again in the middle.
    eventually(SOON, "the directory is gone", || fs::remove_dir_all(&dir).is_ok()).await;
    send(&site, &traffic, 1).await;
    has(1).await;
    // Nothing is sent: it is seen all the same.
    fs::remove_file(&path).unwrap();
    eventually(SOON, "the file is there again", || path.exists()).await;
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Reloaded the configuration."]).await;
    let metrics = process.metrics().await;
    assert!(metrics.sum("gophership_sink_files_reopened_total", &[("sink", "out")]) >= 4);
    assert!(metrics.sum("gophership_sink_removed_bytes_total", &[("sink", "out")]) > 0);
    process.logged(SOON, &["File was moved or removed", "removed_bytes="]).await;
    let all = |metrics: &Metrics| metrics.books("logs").count("delivered") == 7;
    process.measured(SOON, "all is delivered", all).await;
    process.stop(WELL_BEFORE).await;
}

/// Scenario: a sink writes to `/dev/stdout`, which is a pipe, with `fsync: always`.
/// Guarantees: three records are three lines, and the stop does not take its grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_synced_is_written_once() {
    let site = site(&with_vault("type: file, path: /dev/stdout, fsync: always"));
    let mut process = site.start().await;
    send(&site, &Traffic::default(), 3).await;
    eventually(SOON, "three lines", || process.out().matches('\n').count() == 3).await;
    let begun = Instant::now();
    let log = process.stop(WELL_BEFORE).await;
    assert!(begun.elapsed() < WELL_BEFORE);
    assert_eq!(process.out().matches('\n').count(), 3, "{log}");
    assert!(!log.contains("Component failed"), "{log}");
}

/// Scenario: files may be 64 KiB long at most, as with `ulimit -f`, and a line that does not fit is
/// torn; then the file is taken away.
/// Guarantees: the process lives, no half line is left, and the line is written where there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_has_whole_lines_only() {
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 10s, answer_within: 12s }
sinks:
  out: { type: file, inputs: [otlp], path: $DIR/x.jsonl }
"#;
    let mut site = site(yaml);
    // Blocks of 512 bytes.
    let shell = ["sh", "-c", "ulimit -f 128; exec \"$@\"", "sh"];
    site.before = shell.map(ToOwned::to_owned).to_vec();
    let mut process = Bare::spawn(&site, "info", Stdio::null(), Stdio::null());
    process.ready(&site).await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..2 {
        client.send(&traffic.padded(Signal::Logs, 1, 25 << 10)).await.unwrap();
    }
    let parcel = traffic.padded(Signal::Logs, 1, 25 << 10);
    let waiting = tokio::spawn(async move { client.send(&parcel).await });
    let out = [("component", "out")];
    eventually_async(SOON, "the file is full", async || {
        metrics(&site).await.sum("gophership_component_restarts_total", &out) > 0
    })
    .await;
    let path = site.dir().join("x.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n') && lines(&path) == 2, "{} lines", lines(&path));
    fs::rename(&path, site.dir().join("full")).unwrap();
    let _answered = waiting.await.unwrap();
    let client = GrpcClient::new(site.grpc());
    eventually_async(SOON, "there is room", async || {
        client.send(&traffic.padded(Signal::Logs, 1, 1 << 10)).await.is_ok()
    })
    .await;
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    process.signal(ProcessSignal::TERM);
    assert!(process.exit(SOON).await.success());
}

/// Scenario: at the start, and at a reload, the directory of a file cannot be made and a pipe has no
/// reader; later they can.
/// Guarantees: the server listens at once, the vault takes what is for them, and replay delivers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_whose_output_is_not_there_yet_is_tried_again() {
    let site = site(&with_vault("type: file, path: $DIR/blocked/x.jsonl"));
    let blocked = site.dir().join("blocked");
    fs::write(&blocked, "in the way").unwrap();
    let process = site.start().await;
    let failed = [("component", "out")];
    assert_eq!(process.metrics().await.sum("gophership_component_failed", &failed), 1);
    process.logged(SOON, &["Sink is not ready", "component=out"]).await;
    let traffic = Traffic::default();
    send(&site, &traffic, 5).await;
    let status = String::from_utf8(process.control(&["status"]).stdout).unwrap();
    let is_circuit = |line: &str| line.contains("circuit") && line.contains("out");
    assert!(status.lines().any(is_circuit), "{status}");

    let pipe = site.dir().join("pipe");
    fifo(&pipe);
    let more = with_vault("type: file, path: $DIR/blocked/x.jsonl")
        + "  more: { type: file, inputs: [otlp, replay], path: $DIR/pipe }\n";
    site.configure(&more);
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Reloaded the configuration."]).await;

    fs::remove_file(&blocked).unwrap();
    let out = blocked.join("x.jsonl");
    eventually(SOON, "the file has everything", || lines(&out) == 5).await;
    let reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut reader = io::BufReader::new(reader);
    let read = std::thread::spawn(move || {
        let mut line = String::new();
        io::BufRead::read_line(&mut reader, &mut line).map(|_read| (line, reader))
    });
    eventually_async(SOON, "the pipe has what is for it", async || {
        send(&site, &traffic, 1).await;
        read.is_finished()
    })
    .await;
    let (line, _goes_on_reading) = read.join().unwrap().unwrap();
    assert!(line.starts_with("{\"resourceLogs\""), "{line}");
    let is_well = |metrics: &Metrics| metrics.sum("gophership_component_failed", &[]) == 0;
    process.measured(SOON, "nothing is out any more", is_well).await;
}

/// Scenario: a file is to be rotated at an age of two seconds; requests come now and again.
/// Guarantees: a file that is younger goes on, an older one has another name before the next line; every line is in
/// one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_rotated_at_its_age() {
    let site = site(&with_vault("type: file, path: $DIR/out/x.jsonl, rotate: { age: 2s }"));
    let process = site.start().await;
    let (traffic, dir) = (Traffic::default(), site.dir().join("out"));
    let files = || fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let begun = Instant::now();
    send(&site, &traffic, 3).await;
    let young = files().len();
    assert!(young == 1 || AGE <= begun.elapsed(), "{young} files after {:?}", begun.elapsed());
    tokio::time::sleep(AGE).await;
    send(&site, &traffic, 1).await;
    let lines_in = |files: Vec<PathBuf>| files.iter().map(|file| lines(file)).sum::<usize>();
    eventually(SOON, "every line is written", || lines_in(files()) == 4).await;
    assert!(1 < files().len(), "{:?}", files());
    assert_eq!(lines(&dir.join("x.jsonl")), 1, "the newest file has what came last");
    drop(process);
}

/// Scenario: the path of a file is a directory.
/// Guarantees: that never passes, and ends the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_that_never_passes_ends_the_start() {
    let site = site(&with_vault("type: file, path: $DIR/directory"));
    fs::create_dir(site.dir().join("directory")).unwrap();
    let mut process = Process::spawn(&site);
    assert_eq!(process.exit(SOON).await.code(), Some(69), "{}", process.log());
}

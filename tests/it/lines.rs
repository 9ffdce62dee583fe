//! Requests of extreme shape as lines of JSON: in a file of the sink, and out of a vault.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::JsonLine;
use gophership_otlp::Signal;
use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use crate::bare::SOON;
use crate::bare::WELL_BEFORE;
use crate::bare::site;
use crate::harness::GrpcClient;
use crate::harness::eventually;
use crate::heap::peak_bytes;

type Answer = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
/// What writing a line may take from the heap, whatever is in it.
const HEAP_BYTES_MAX: u64 = 1 << 20;
/// What a tool may take for data, in KiB: the request, the text of a piece, and what every process has.
const TOOL_KIB_MAX: u32 = 96 << 10;

/// A field of bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = value.len();
    while 0x80 <= len {
        out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap());
    out.extend_from_slice(value);
    out
}

/// The request of one log record.
fn around(record: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, record)))
}

/// So many empty log records in one scope.
fn empty_records(records: usize) -> Vec<u8> {
    field(1, &field(2, &[0x12, 0].repeat(records)))
}

/// Requests whose parts outnumber their bytes, or go as deep as there is.
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let deep = (0..44).fold(field(1, b"deep"), |value, _| field(5, &field(1, &value)));
    vec![
        ("records", empty_records(1_000_000)),
        ("resources", [0x0a, 0].repeat(500_000)),
        ("attributes", around(&[0x32, 0].repeat(1_000_000))),
        ("values", around(&field(5, &field(5, &[0x0a, 0].repeat(1_000_000))))),
        ("depth", around(&field(5, &deep).repeat(1_000))),
        ("text", around(&field(5, &field(1, &b"\n\x01 \"text\" ".repeat(500_000))))),
        ("bytes", around(&field(5, &field(7, &vec![7; 5_000_000])))),
    ]
}

/// Scenario: requests of a million parts, and of the deepest nesting, as lines into a file.
/// Guarantees: each line is what the whole text is, is no longer than foreseen, and takes no more
/// from the heap than a short one.
#[test]
fn lines_of_any_shape_are_written_in_bounded_memory() {
    for (shape, wire) in shapes() {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes_max = 0;
        let peak = peak_bytes(|| {
            let line = JsonLine::of(Signal::Logs, &wire, &LIMITS).unwrap();
            line.write(&mut Vec::new(), &mut file).unwrap();
            bytes_max = line.bytes_max();
        });
        assert!(peak < HEAP_BYTES_MAX, "{shape}: {peak} bytes");
        let mut written = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_end(&mut file, &mut written).unwrap();
        assert!(written.len() as u64 <= bytes_max, "{shape}: {} of {bytes_max}", written.len());
        let mut whole = Vec::new();
        gophership_otlp::wire_to_json(Signal::Logs, &wire, &LIMITS, &mut whole).unwrap();
        whole.push(b'\n');
        assert!(written == whole, "{shape}");
    }
}

/// The line of `status` with this name, in KiB.
fn status_kib(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Scenario: a running process with a file sink gets a million empty log records in 2 MB.
/// Guarantees: they are in the file, and the process needed at most 32 MiB for it: for the request, as
/// gRPC reads it, and not for what is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sink_needs_little_memory_for_many_records() {
    let site = site(
        r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  out: { type: file, inputs: [otlp], path: $DIR/x.jsonl }
"#,
    );
    let mut process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let send = async |records: u64| {
        let wire = Bytes::from(empty_records(usize::try_from(records).unwrap()));
        client.send_to(Signal::Logs.grpc_path(), wire).await.unwrap();
    };
    send(1).await;
    // The peak begins anew.
    fs::write(format!("/proc/{}/clear_refs", process.id()), "5").unwrap();
    let before = status_kib(process.id(), "VmHWM");
    send(1_000_000).await;
    let grown = status_kib(process.id(), "VmHWM") - before;
    let path = site.dir().join("x.jsonl");
    eventually(SOON, "two lines", || fs::read_to_string(&path).unwrap().lines().count() == 2).await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("{}").count(), 1_000_001);
    assert!(grown < 32 << 10, "{grown} KiB");
    process.stop(WELL_BEFORE).await;
}

/// Makes a vault of these requests of logs.
fn vault(dir: &Path, wires: &[Vec<u8>]) {
    let (writer, _) = Writer::<Answer>::open(Options::new(dir)).unwrap();
    for wire in wires {
        let (to, answer) = mpsc::channel();
        let record = NewRecord {
            signal: Signal::Logs as u8,
            received_unix_ns: 1_767_225_600_000_000_000,
            attrs: &3_u64.to_le_bytes(),
            payload: wire,
        };
        let done: Answer = Box::new(move |result| {
            let _closed = to.send(result);
        });
        assert!(writer.try_append(record, done).is_ok());
        answer.recv_timeout(Duration::from_mins(1)).unwrap().unwrap();
    }
    writer.close().unwrap();
}

/// Runs a command of `gophership vault` that may take so much memory only; returns its first bytes
/// and how many there are.
fn small(arguments: &[&str]) -> (Vec<u8>, u64) {
    let limit = format!("ulimit -d {TOOL_KIB_MAX}; exec \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_gophership"), "vault"])
        .args(arguments)
        .env_remove("GOPHERSHIP_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut head, mut count) = (Vec::new(), 0);
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut out, 200), &mut head).unwrap();
    count += head.len() as u64;
    count += std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{arguments:?}: {status}");
    (head, count)
}

/// Scenario: a vault holds requests of millions of empty parts; every tool that reads it may take
/// 96 MiB.
/// Guarantees: all of them do their work.
#[test]
fn tools_live_with_requests_of_any_shape() {
    let (records, resources) = (4_000_000_u64, 3_000_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let wires = [empty_records(4_000_000), [0x0a, 0].repeat(resources)];
    vault(&path, &wires);
    let path = path.display().to_string();
    let to = dir.path().join("out").display().to_string();
    for command in [&["ls"][..], &["ls", "--requests"], &["verify"], &["repair", "--dry-run"]] {
        let (said, _) = small(&[command, &[&path]].concat());
        assert!(!said.is_empty(), "{command:?}");
    }
    let (head, json_bytes) = small(&["cat", &path]);
    let scope = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{},{},"#;
    assert!(head.starts_with(scope.as_bytes()), "{}", String::from_utf8_lossy(&head));
    assert!(3 * (records + resources as u64) < json_bytes);
    let (head, text_bytes) = small(&["cat", "--format", "text", &path]);
    let line = b"1 - - \n";
    assert!(head.starts_with(line), "{}", String::from_utf8_lossy(&head));
    assert_eq!(text_bytes, records * line.len() as u64);
    assert!(small(&["cat", "--format", "protobuf", "--signal", "logs", &path]).1 > 14_000_000);
    small(&["export", "--to", &to, &path]);
    let files = fs::read_dir(&to).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(files.sum::<u64>(), json_bytes);
}

/// Scenario: bodies of every kind as text.
/// Guarantees: one line each, a list or map in its JSON form.
#[test]
fn text_shows_every_body_on_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let bodies = [
        field(1, b"two\nlines"),
        vec![0x10, 1],
        vec![0x18, 7],
        field(7, &[1, 0xab]),
        field(5, &field(1, &field(1, b"x"))),
        field(6, &field(1, &[field(1, b"k"), field(2, &[0x18, 7])].concat())),
        Vec::new(),
    ];
    let records: Vec<u8> = bodies.iter().flat_map(|body| field(2, &field(5, body))).collect();
    vault(dir.path(), &[field(1, &field(2, &records))]);
    let path = dir.path().display().to_string();
    let output = crate::tool::tool(&["cat", "--format", "text", &path]);
    let text = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let expected = [
        "two lines",
        "true",
        "7",
        "01ab",
        r#"{"arrayValue":{"values":[{"stringValue":"x"}]}}"#,
        r#"{"kvlistValue":{"values":[{"key":"k","value":{"intValue":"7"}}]}}"#,
        "",
    ];
    assert_eq!(shown, expected, "{text}");
}

/// Scenario: whoever reads a line goes away in its middle.
/// Guarantees: the error of the first piece ends it.
#[test]
fn a_line_ends_with_the_error_of_its_output() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if self.0 == 2 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let wire = empty_records(1_000_000);
    let mut out = Full(0);
    let line = JsonLine::of(Signal::Logs, &wire, &LIMITS).unwrap();
    let error = line.write(&mut Vec::new(), &mut out).unwrap_err();
    assert_eq!((error.kind(), out.0), (std::io::ErrorKind::BrokenPipe, 2));
}

//! `gophership drill`: what survives an outage passes, what does not fails and says what was lost.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

/// A debug build beside other tests is slow and large; what is lost is counted all the same.
const GENEROUS: [&str; 8] =
    ["--p99-max", "30s", "--slowest-max", "30s", "--memory-max", "1GB", "--drain-max", "60s"];
pub(crate) const SHORT: [&str; 8] =
    ["--lasts", "3s", "--warm-up", "1s", "--rate", "2000", "--clients", "8"];

/// Runs a drill in a directory of its own, with this configuration if there is one.
pub(crate) fn drill(dir: &TempDir, yaml: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gophership"));
    command.current_dir(dir).env_remove("GOPHERSHIP_CONFIG").arg("drill").args(GENEROUS);
    if let Some(yaml) = yaml {
        let path = dir.path().join("mine.yaml");
        fs::write(&path, yaml).unwrap();
        command.arg("--config").arg(path);
    }
    command.args(["-o", "json"]).args(arguments).output().unwrap()
}

/// The document of a drill that ended with this code.
#[track_caller]
pub(crate) fn document(output: &Output, code: i32) -> Value {
    let complaints = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{complaints}\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Drills and demands that everything holds and nothing is left behind.
#[track_caller]
fn passes(yaml: Option<&str>, arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let document = document(&drill(&dir, yaml, arguments), 0);
    assert_eq!(document["passed"], true);
    let records = &document["records"];
    assert!(4_000 < records["offered"].as_u64().unwrap(), "{document:#}");
    for same in ["acknowledged", "delivered"] {
        assert_eq!(records[same], records["offered"], "{document:#}");
    }
    for none in ["lost", "missing", "altered", "dropped_by_queue", "dropped_after_export"] {
        assert_eq!(records[none], 0, "{document:#}");
    }
    assert_eq!(document["exports"]["refused"], 0);
    // Without a backlog there was no outage.
    assert!(0 < document["backlog_records"].as_u64().unwrap(), "{document:#}");
    assert!(document["drain_seconds"].is_number() && document["kept"].is_null());
    assert!((1 << 20) < document["resident_bytes_max"].as_u64().unwrap());
    assert_eq!(left(dir.path()), Vec::<String>::new());
    document
}

/// What is in a directory beside the configuration of the test.
fn left(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "mine.yaml").collect()
}

#[track_caller]
pub(crate) fn requirement<'a>(document: &'a Value, name: &str) -> &'a Value {
    let all = document["requirements"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap()
}

/// Scenario: the backend answers UNAVAILABLE for 3 seconds, under the defaults.
/// Guarantees: every record arrives, and the drill sees the requests that were turned away.
#[test]
fn a_backend_that_is_unavailable_costs_nothing() {
    let document = passes(None, &SHORT);
    assert!(0 < document["exports"]["turned_away_by_backend"].as_u64().unwrap());
    let exports = 8 * 512;
    assert!(document["records"]["repeated"].as_u64().unwrap() <= exports, "{document:#}");
}

/// Scenario: the backend reads requests for 3 seconds and does not answer.
/// Guarantees: every record arrives.
#[test]
fn a_backend_that_hangs_costs_nothing() {
    let document = passes(None, &[&SHORT[..], &["--outage", "hang"]].concat());
    assert!(0 < document["exports"]["turned_away_by_backend"].as_u64().unwrap());
}

/// Scenario: the backend is gone for 3 seconds: connections break, new ones are refused.
/// Guarantees: every record arrives, and no request reached the backend meanwhile.
#[test]
fn a_backend_that_is_gone_costs_nothing() {
    let document = passes(None, &[&SHORT[..], &["--outage", "gone"]].concat());
    assert_eq!(document["exports"]["turned_away_by_backend"], 0);
}

/// Scenario: the server is killed with `kill -9` in the middle of the outage.
/// Guarantees: every record arrives; of each client at most one export is repeated.
#[test]
fn a_server_that_is_killed_meanwhile_loses_nothing() {
    let document = passes(None, &[&SHORT[..], &["--kill"]].concat());
    assert!(document["restart_seconds"].is_number());
    let repeated = requirement(&document, "records repeated");
    assert_eq!((&repeated["limit"], &repeated["holds"]), (&(8 * 512).into(), &true.into()));
}

/// Scenario: of two sinks one is out for 3 seconds.
/// Guarantees: every record arrives at both; what was sent to the other one meanwhile did not wait for
/// it, and the delays of both are told, part by part.
#[test]
fn a_sink_that_stays_does_not_wait_for_one_that_is_out() {
    let document = passes(None, &[&SHORT[..], &["--two-sinks", "--kill"]].concat());
    assert_eq!(document["drill"]["sinks_out"], serde_json::json!(["backend"]));
    let notes = document["drill"]["notes"].to_string();
    assert!(notes.contains("do not count as a requirement"), "{notes}");

    let dir = tempfile::tempdir().unwrap();
    let longer = ["--warm-up", "3s", "--lasts", "3s", "--rate", "2000", "--clients", "8"];
    let output = drill(&dir, None, &[&longer[..], &["--two-sinks"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let requirements = document["requirements"].as_array().unwrap();
    let is_delay = |one: &&Value| one["name"] == "p99 delay, healthy sinks";
    // Milliseconds double when other tests begin meanwhile; all else holds.
    let delay = requirements.iter().find(is_delay).unwrap();
    assert_eq!(delay["holds"].as_bool().unwrap(), output.status.code() == Some(0), "{document:#}");
    let mut others = requirements.iter().filter(|one| !is_delay(one));
    assert!(others.all(|one| one["holds"] == true), "{document:#}");
    let delays = |sink: usize, phase: &str, which: &str| {
        let figure = &document["delays"][sink]["records"][phase][which];
        figure.as_f64().unwrap()
    };
    let names = [0, 1].map(|sink| document["delays"][sink]["sink"].as_str().unwrap());
    let stay = [0, 1].map(|sink| document["delays"][sink]["stays"].as_bool().unwrap());
    assert_eq!((names, stay), (["backend", "other"], [false, true]));
    for phase in ["warm-up", "outage", "return"] {
        assert!(1_000.0 < delays(1, phase, "count"), "{document:#}");
    }
    // Evenly sent in 3 seconds, half of the records waited for more than one.
    assert!(1.0 < delays(0, "outage", "p50_seconds"), "{document:#}");
    assert!(delays(1, "outage", "p50_seconds") < 0.5, "{document:#}");
}

/// Scenario: the server is killed, and a bit of what it left in its vault is flipped.
/// Guarantees: verify and the server name what was hit, and nothing else is missing; without leave to
/// lose that, the missing records are as many as the report says.
#[test]
fn only_what_a_flipped_bit_hit_is_missing() {
    let yaml = "
        sources:
          otlp: { type: otlp, pivot: vault }
          replay: { type: vault_replay, vault: vault }
        sinks:
          backend: { type: otlp, inputs: [otlp, replay], endpoint: 'http://localhost:4317' }
          vault: { type: raw_vault, segment_size: 1MiB, compression: none }
    ";
    let dir = tempfile::tempdir().unwrap();
    let load = ["--warm-up", "1s", "--lasts", "6s", "--rate", "8000", "--clients", "16"];
    let document = document(&drill(&dir, Some(yaml), &[&load[..], &["--corrupt"]].concat()), 0);
    let corrupted = &document["vault"]["corrupted"];
    assert_eq!(corrupted["requests_named_by_verify"], 1, "{document:#}");
    assert_eq!(corrupted["requests_found_by_server"], 1, "{document:#}");
    let hit = corrupted["records"].as_u64().unwrap();
    assert!(0 < hit && hit <= 512, "{document:#}");
    assert_eq!((&corrupted["missing"], &document["records"]["missing"]), (&hit.into(), &0.into()));
    let records = &document["records"];
    let gone = records["offered"].as_u64().unwrap() - records["delivered"].as_u64().unwrap();
    assert_eq!((gone, &records["lost"]), (hit, &0.into()), "{document:#}");
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

/// Scenario: so little was sent that nothing of it is sealed when the server is killed.
/// Guarantees: that no bit can be flipped is said, and is no verdict.
#[test]
fn without_a_sealed_segment_no_bit_can_be_flipped() {
    let dir = tempfile::tempdir().unwrap();
    let output = drill(&dir, None, &[&SHORT[..], &["--corrupt"]].concat());
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(74), "{complaint}");
    assert!(complaint.contains("no sealed and undelivered segment"), "{complaint}");
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

/// Scenario: `--sink` names what is no sink with a backend.
/// Guarantees: that is said, with those there are, and nothing is started.
#[test]
fn a_sink_that_is_not_there_cannot_be_out() {
    let dir = tempfile::tempdir().unwrap();
    let output = drill(&dir, None, &["--two-sinks", "--sink", "archive"]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(
        complaint.contains("no `otlp` sink \"archive\"; its `otlp` sinks are backend, other"),
        "{complaint}"
    );
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

/// Scenario: the examples with TLS, compression, HTTP and a transform; none of their certificates
/// exists.
/// Guarantees: each runs as a copy on loopback, passes, and its data directory is not touched.
#[test]
fn the_examples_survive_an_outage() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for name in ["sidecar.yaml", "http-only.yaml", "gateway-tls.yaml"] {
        let text = fs::read_to_string(examples.join(name)).unwrap();
        passes(Some(&text), &SHORT);
    }
}

/// Scenario: an OK means that a request is in memory, no vault takes over, and the server is killed.
/// Guarantees: the drill fails, counts what is missing, names some of it, and keeps the evidence.
#[test]
fn records_that_were_only_in_memory_are_missed() {
    let yaml = "
        sources:
          otlp: { type: otlp, ack: received }
        sinks:
          backend: { type: otlp, inputs: [otlp], endpoint: 'http://localhost:4317' }
    ";
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&SHORT[..], &["--kill", "--give-up-after", "5s"]].concat();
    let output = drill(&dir, Some(yaml), &arguments);
    let document = document(&output, 1);
    assert_eq!(document["passed"], false);
    let records = &document["records"];
    let missing = records["missing"].as_u64().unwrap();
    assert!(0 < missing, "{document:#}");
    assert!(missing <= records["lost"].as_u64().unwrap());
    let runs = records["missing_runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["first"].as_u64() <= run["last"].as_u64()));
    assert!(!runs.is_empty());
    assert_eq!(requirement(&document, "records lost end to end")["holds"], false);
    assert_eq!(requirement(&document, "backlog delivered")["measured"], Value::Null);
    let log = fs::read_to_string(document["kept"]["log"].as_str().unwrap()).unwrap();
    assert_eq!(log.matches("GopherShip is ready.").count(), 2, "{log}");
}

/// Scenario: no vault takes over, and the clients' queues last for a second.
/// Guarantees: the drill fails, and tells what the queues dropped and why.
#[test]
fn without_a_vault_the_queues_of_clients_overflow() {
    let yaml = "
        sources:
          otlp: { type: otlp }
        sinks:
          backend: { type: otlp, inputs: [otlp], endpoint: 'http://localhost:4317' }
    ";
    let dir = tempfile::tempdir().unwrap();
    let faster = ["--lasts", "4s", "--warm-up", "1s", "--rate", "4000", "--clients", "2"];
    let document = document(&drill(&dir, Some(yaml), &faster), 1);
    let records = &document["records"];
    assert!(0 < records["dropped_by_queue"].as_u64().unwrap(), "{document:#}");
    assert_eq!(records["missing"], 0, "{document:#}");
    let notes = document["drill"]["notes"].to_string();
    assert!(notes.contains("has no vault") && notes.contains("is full after"), "{notes}");
}

/// Scenario: configurations without anything to drill, or with a filter.
/// Guarantees: the reason is said in words, and nothing was started or written.
#[test]
fn what_cannot_be_drilled_is_said() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for (name, words) in [
        ("demo.yaml", "the configuration has no `otlp` source"),
        ("quickstart.yaml", "the configuration has no `otlp` sink"),
    ] {
        let text = fs::read_to_string(examples.join(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let output = drill(&dir, Some(&text), &[]);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{complaint}");
        assert!(complaint.contains(words), "{complaint}");
        assert_eq!(left(dir.path()), Vec::<String>::new());
    }
}

/// Scenario: the drill is interrupted in the middle.
/// Guarantees: it ends the server, removes its directory and says that it was interrupted.
#[tokio::test]
async fn an_interrupted_drill_leaves_nothing_behind() {
    use crate::harness::eventually;
    use rustix::process::Pid;
    use rustix::process::Signal;
    use std::time::Duration;

    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .current_dir(&dir)
        .env_remove("GOPHERSHIP_CONFIG")
        .args(["drill", "--rate", "500"])
        .spawn()
        .unwrap();
    let within = Duration::from_secs(30);
    let site = dir.path().join(format!("gophership-drill-{}", child.id()));
    eventually(within, "the server of the drill runs", || {
        let log = fs::read_to_string(site.join("server.log")).unwrap_or_default();
        log.contains("GopherShip is ready.")
    })
    .await;
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let mut status = None;
    eventually(within, "the drill has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(130));
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

/// The command line of another program: this one, with a configuration of its own.
fn peer(dir: &Path, ports: [u16; 3], pivot: &str) -> Vec<String> {
    let [ingest, backend, metrics] = ports;
    let data = dir.join("data");
    let vault = if pivot == "off" { "" } else { "  vault: { type: raw_vault }\n" };
    let yaml = format!(
        "data_dir: {}\nmetrics: {{ listen: 127.0.0.1:{metrics} }}\nsources:\n  otlp:\n    type: otlp\n    \
         grpc: {{ listen: 127.0.0.1:{ingest} }}\n    pivot: {pivot}\nsinks:\n  out:\n    type: otlp\n    inputs: \
         [otlp]\n    endpoint: http://127.0.0.1:{backend}\n{vault}",
        data.display(),
    );
    let config = dir.join("peer.yaml");
    fs::write(&config, yaml).unwrap();
    let command = format!("'{}' run '{}'", env!("CARGO_BIN_EXE_gophership"), config.display());
    let ingest = format!("127.0.0.1:{ingest}");
    let backend = format!("127.0.0.1:{backend}");
    let flags = [["--command", &command], ["--ingest", &ingest], ["--backend", &backend]];
    flags.concat().into_iter().chain(SHORT).map(ToOwned::to_owned).collect()
}

/// Ports that nobody uses now.
fn free_ports() -> [u16; 3] {
    let bind = |()| std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    [(); 3].map(bind).map(|listener| listener.local_addr().unwrap().port())
}

/// Scenario: another program is drilled, which is known by its command line and its addresses only: one that
/// keeps what it cannot deliver, killed or not, one that makes its senders wait, and one that ends.
/// Guarantees: the same verdict as for a configuration: the first loses nothing, the second is seen to lose
/// records, of the third it is said that it ended.
#[test]
fn another_program_is_drilled_like_this_one() {
    let dir = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--kill"]] {
        let args = peer(dir.path(), free_ports(), "vault");
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(more);
        let document = document(&drill(&dir, None, &args), 0);
        assert_eq!(document["passed"], true);
        assert_eq!(document["records"]["lost"], 0, "{document:#}");
        assert!(0 < document["backlog_records"].as_u64().unwrap(), "{document:#}");
        assert!((1 << 20) < document["resident_bytes_max"].as_u64().unwrap());
    }

    let waiting = tempfile::tempdir().unwrap();
    let args = peer(waiting.path(), free_ports(), "off");
    let faster = |arg| if arg == "2000" { "20000" } else { arg };
    let args: Vec<&str> = args.iter().map(String::as_str).map(faster).collect();
    let document = document(&drill(&waiting, None, &args), 1);
    assert!(0 < document["records"]["lost"].as_u64().unwrap(), "{document:#}");

    let output =
        drill(&dir, None, &["--command", "echo no such option; exit 3", "--ingest", "127.0.0.1:1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("exited before it was ready"), "{said}");
}

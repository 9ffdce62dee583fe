//! `gs-ctl replay --from s3://`: a running server sends what an archive in a bucket has.

use std::process::Output;
use std::time::Duration;

use gophership_archive::Manifest;
use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::Which;
use serde_json::Value;
use serde_json::json as value;
use tempfile::TempDir;

use super::commands::json;
use super::commands::said;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::vault_archive::BUCKET;
use crate::vault_archive::PREFIX;
use crate::vault_archive::archive;
use crate::vault_archive::server;
use crate::vault_tools::make_of;

const SOON: Duration = Duration::from_mins(1);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  first: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  second: { type: otlp, inputs: [otlp, replay], endpoint: "http://$SECOND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
  archive:
    type: s3
    vault: vault
    bucket: { name: $BUCKET, path_style: true, attempt_timeout: 2s }
    prefix: $PREFIX
"#;

/// An archive of two vaults of other machines, two backends, and a running server whose own vault is empty.
struct Rig {
    _folder: TempDir,
    server: S3Server,
    first: Backend,
    second: Backend,
    parcels: Vec<NumberedRequest>,
    manifests: Vec<Manifest>,
    site: Site,
    process: Process,
}

impl Rig {
    async fn start(requests: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let (traffic, mut parcels, mut manifests) = (Traffic::default(), Vec::new(), Vec::new());
        for node in ["node-a", "node-b"] {
            let vault = folder.path().join(node);
            std::fs::create_dir(&vault).unwrap();
            parcels.extend(make_of(&traffic, &vault, requests / 2, 0));
            manifests.extend(archive(&server, &vault, node));
        }
        assert!(3 < manifests.len(), "several segments of each");
        let (first, second) = (Backend::start().await, Backend::start().await);
        let yaml = YAML.replace("$SECOND", &second.address().to_string());
        let yaml = yaml.replace("$BUCKET", BUCKET).replace("$PREFIX", PREFIX);
        let mut site = Site::new(first.address(), &yaml);
        site.env = server.environment();
        let process = site.start().await;
        Self { _folder: folder, server, first, second, parcels, manifests, site, process }
    }

    fn url() -> String {
        format!("s3://{BUCKET}/{PREFIX}")
    }

    /// Runs a replay from the archive to its end.
    fn follow(&self, arguments: &[&str]) -> (Output, Value) {
        let url = Self::url();
        let all = [&["replay", "--from", &url, "--follow", "-o", "json"][..], arguments].concat();
        let output = self.process.control(&all);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let last = text.lines().last().unwrap_or_else(|| panic!("{}", said(&output)));
        let last = serde_json::from_str(last).unwrap();
        (output, last)
    }

    fn counted(&self, arguments: &[&str]) -> Value {
        let url = Self::url();
        json(&self.process, &[&["replay", "--from", &url, "--dry-run"][..], arguments].concat())
    }

    fn counts(&self, backend: &Backend) -> Vec<u64> {
        self.parcels.iter().map(|parcel| backend.has(&parcel.fingerprint)).collect()
    }

    /// Restored segments that are left on the disk.
    fn left(&self) -> usize {
        let folder = self.site.dir().join("data/s3_replay");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

/// Scenario: a server with an empty vault, beside an archive that two other machines wrote; all of it is counted and
/// sent to one of two sinks; then one signal in a part of the time, to both.
/// Guarantees: what was counted is what arrives, bit for bit, at the sinks that were named and at no other; the ledger
/// balances, the audit log has the archive, and no restored segment stays on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_archive_has_is_sent_by_a_running_server() {
    let rig = Rig::start(120).await;
    let bytes: usize = rig.parcels.iter().map(|parcel| parcel.wire.len()).sum();
    let counted = rig.counted(&[]);
    assert_eq!(
        [&counted["requests"], &counted["records"], &counted["bytes"]],
        [&value!(120), &value!(360), &value!(bytes)],
        "{counted}"
    );
    assert_eq!((&counted["from"], &counted["vault"]), (&value!(Rig::url()), &value!("vault")));
    assert_eq!(counted["oldest"], "2026-01-01T00:00:00.000Z");

    let (output, told) = rig.follow(&["--to", "second", "--reason", "new backend"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        [&told["state"], &told["requests"], &told["delivered_requests"], &told["read_bytes"]],
        [&value!("done"), &value!(120), &value!(120), &told["total_bytes"]],
        "{told}"
    );
    assert_eq!((rig.counts(&rig.first), rig.counts(&rig.second)), (vec![0; 120], vec![1; 120]));
    assert_eq!((rig.second.unreadable(), rig.left()), (0, 0));
    let books = Books::of(&[("received", 0), ("copies", 120), ("delivered", 120)]);
    rig.process.books_become(Signal::Logs, &books, "sent").await;
    let changes = audit_lines(rig.site.dir(), "change");
    let noted = changes.iter().find(|line| line["action"] == "StartReplay").unwrap();
    assert_eq!(noted["detail"], format!("from={} to=second", Rig::url()));
    assert_eq!(noted["reason"], "new backend");

    // Ten of the 20 logs of each machine.
    let part =
        ["--signal", "logs", "--since", "2026-01-01T00:00:12Z", "--until", "2026-01-01T00:00:42Z"];
    assert_eq!(rig.counted(&part)["requests"], 20);
    let (output, told) = rig.follow(&part);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((&told["requests"], &told["delivered_requests"]), (&value!(20), &value!(40)));
    assert_eq!(rig.counts(&rig.first).iter().sum::<u64>(), 20);
    assert_eq!(rig.counts(&rig.second).iter().sum::<u64>(), 140);
    assert_eq!(rig.left(), 0);
}

/// Scenario: an archive that the configuration does not have; a bucket that refuses; requests to it that fail now and
/// then; an object that is gone.
/// Guarantees: the first two say what is wrong; what fails now and then is done again and repeats nothing; a segment
/// that is gone is told, and everything else arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_fails_is_told_and_what_is_left_of_it_arrives() {
    let rig = Rig::start(120).await;
    let output = rig.process.control(&["replay", "--from", "s3://other/backup", "--dry-run"]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains(&format!("archives: {}", Rig::url())), "{}", said(&output));

    let faults = rig.server.faults();
    faults.next(RequestKind::List, 1, Fault::ACCESS_DENIED);
    let (output, told) = rig.follow(&["--to", "first"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!((&told["state"], &told["delivered_requests"]), (&value!("failed"), &value!(0)));
    assert!(told["error"].as_str().unwrap().contains("cannot read the archive s3://"), "{told}");

    for fault in [Fault::SLOW_DOWN, Fault::Close] {
        faults.next(RequestKind::List, 1, fault);
        faults.next(Which::from(RequestKind::Get).with("/manifest/"), 1, fault);
    }
    faults.next(Which::from(RequestKind::Get).with("/seg/"), 1, Fault::TruncatedBody);
    let (output, _) = rig.follow(&["--to", "first"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(rig.counts(&rig.first), vec![1; 120]);

    let (gone, prefix) = (&rig.manifests[1], PREFIX.parse().unwrap());
    let key = gone.segment_key().key(&prefix);
    std::fs::remove_file(rig.server.object_path(BUCKET, &key)).unwrap();
    let (output, told) = rig.follow(&["--to", "second"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        told["error"].as_str().unwrap().contains("1 segments of the archive cannot be restored"),
        "{told}"
    );
    let arrived = rig.counts(&rig.second).iter().sum::<u64>();
    assert_eq!(told["delivered_requests"], arrived);
    assert_eq!(arrived, 120 - gone.requests, "everything else arrives");
    assert_eq!(rig.left(), 0);
}

/// Scenario: a replay from an archive is limited in its rate, and stopped in the middle; then one is started while
/// replays are paused.
/// Guarantees: it stops at once, says how far it came and leaves nothing on the disk; in a pause nothing is sent, and
/// afterwards everything is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_from_an_archive_can_be_stopped_and_waits_in_a_pause() {
    let rig = Rig::start(120).await;
    let url = Rig::url();
    let slow = ["replay", "--from", &url, "--to", "first", "--rate", "60"];
    let started = json(&rig.process, &slow);
    eventually(SOON, "some arrived", || 3 <= rig.first.requests()).await;
    let stopped = json(&rig.process, &["replay", "stop", &started["id"].to_string()]);
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let arrived = rig.counts(&rig.first).iter().sum::<u64>();
    assert!((3..120).contains(&arrived), "{arrived}");
    eventually(SOON, "nothing is left on the disk", || rig.left() == 0).await;

    json(&rig.process, &["replay", "pause"]);
    json(&rig.process, &["replay", "--from", &url, "--to", "second"]);
    let is_listed = || json(&rig.process, &["replay", "ls"])["replays"][0]["total_bytes"] != 0;
    eventually(SOON, "it has found the segments", is_listed).await;
    assert_eq!(rig.second.requests(), 0);
    json(&rig.process, &["replay", "resume"]);
    let is_done = || json(&rig.process, &["replay", "ls"])["replays"][0]["state"] == "done";
    eventually(SOON, "it is done", is_done).await;
    assert_eq!(rig.counts(&rig.second), vec![1; 120]);
}

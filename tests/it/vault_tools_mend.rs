//! `gophership vault repair`, `prune`, `hold` and `release`: what can be mended is, what must stay does.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::harness::Backend;
use crate::harness::Site;
use crate::harness::eventually;
use crate::tool::tool;
use crate::vault_tools::document;
use crate::vault_tools::make;
use crate::vault_tools::sealed;

const DRAINED_WITHIN: Duration = Duration::from_secs(30);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  sink: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, sink], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB }
"#;

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn quarantined(dir: &Path, path: &Path) -> PathBuf {
    dir.join("quarantine").join(path.file_name().unwrap())
}

pub(crate) fn actions(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps.map(|step| step["action"].as_str().unwrap().to_owned()).collect()
}

/// One kind of damage, what mends it, and how many of 40 requests are there afterwards.
pub(crate) struct Case {
    pub(crate) action: &'static str,
    pub(crate) damage: fn(&Path),
    pub(crate) code: i32,
    pub(crate) is_as_before: bool,
    left: u64,
}

pub(crate) const CASES: [Case; 7] = [
    Case {
        action: "rebuild_footer",
        damage: |dir| flip(&sealed(dir)[1], |len| len - 4000),
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "rebuild_footer",
        damage: |dir| {
            // As a start leaves it: set aside for its footer.
            let path = sealed(dir)[1].clone();
            flip(&path, |len| len - 100);
            fs::rename(&path, quarantined(dir, &path)).unwrap();
        },
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "bring_back",
        damage: |dir| {
            let path = sealed(dir)[1].clone();
            fs::rename(&path, quarantined(dir, &path)).unwrap();
        },
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "rebuild_id",
        damage: |dir| fs::write(dir.join("vault_id"), [9; 8192]).unwrap(),
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "reset_cursor",
        damage: |dir| fs::write(dir.join("cursors/sink"), [9; 8192]).unwrap(),
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "finish_rename",
        damage: |dir| {
            let path = sealed(dir)[1].clone();
            fs::rename(&path, path.with_extension("open")).unwrap();
        },
        code: 0,
        is_as_before: true,
        left: 40,
    },
    Case {
        action: "set_aside",
        damage: |dir| flip(&sealed(dir)[1], |_| 4096 + 500),
        code: 1,
        is_as_before: false,
        left: 39,
    },
];

/// Scenario: each kind of damage that repair knows; then a server starts on the vault.
/// Guarantees: a dry run changes nothing; afterwards the segments are what they were, bit for bit,
/// or lie in quarantine; the server delivers every request that is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repaired_is_as_before_and_drains() {
    for case in &CASES {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), YAML);
        let dir = site.dir().join("data/vault");
        fs::create_dir_all(&dir).unwrap();
        let parcels = make(&dir, 40, 0);
        let path = dir.display().to_string();
        let sound: Vec<Vec<u8>> = sealed(&dir).iter().map(|path| fs::read(path).unwrap()).collect();
        (case.damage)(&dir);
        document(
            1.min(i32::from(case.action != "finish_rename")),
            &["verify", "-o", "json", &path],
        );
        let planned = document(0, &["repair", "--dry-run", "-o", "json", &path]);
        assert!(actions(&planned).contains(&case.action.to_owned()), "{planned:#}");
        assert_eq!(
            actions(&planned),
            actions(&document(0, &["repair", "--dry-run", "-o", "json", &path]))
        );
        let done = document(case.code, &["repair", "-o", "json", &path]);
        assert_eq!(actions(&done), actions(&planned), "{}", case.action);
        if case.is_as_before {
            let now: Vec<Vec<u8>> =
                sealed(&dir).iter().map(|path| fs::read(path).unwrap()).collect();
            assert!(now == sound, "{}: segments are not what they were", case.action);
        }
        let again = document(case.code, &["repair", "-o", "json", &path]);
        assert!(actions(&again).is_empty(), "{again:#}");

        let mut process = site.start().await;
        let what = format!("{}: {} are delivered", case.action, case.left);
        let has = || parcels.iter().filter(|parcel| 0 < backend.has(&parcel.fingerprint)).count();
        eventually(DRAINED_WITHIN, &what, || has() as u64 >= case.left).await;
        assert_eq!(has() as u64, case.left, "{}", case.action);
        process.stop(DRAINED_WITHIN).await;
    }
}

/// Scenario: a vault that a server has open.
/// Guarantees: repair and prune refuse, say why, and exit 75; looking and holding work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_a_vault_refuses_beside_a_server() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let mut process = site.start().await;
    let path = site.dir().join("data/vault").display().to_string();
    for command in [&["repair"][..], &["repair", "--dry-run"], &["prune"], &["prune", "--dry-run"]]
    {
        let output = tool(&[command, &[&path]].concat());
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("stop the server first"), "{text}");
    }
    let listed = document(0, &["ls", "-o", "json", &path]);
    assert_eq!(listed["in_use"], true, "{listed:#}");
    assert!(tool(&["hold", "x", &path]).status.success());
    process.stop(DRAINED_WITHIN).await;
    assert_eq!(document(0, &["ls", "-o", "json", &path])["in_use"], false);
}

/// Scenario: delivered segments, a hold on some of them, old undelivered ones, and quarantine.
/// Guarantees: `prune` deletes what was passed and not held, loses data only when told to, and what
/// is left is a sound vault whose server takes nothing for lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_deletes_what_may_go_and_nothing_else() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let dir = site.dir().join("data/vault");
    fs::create_dir_all(&dir).unwrap();
    make(&dir, 90, 61);
    let path = dir.display().to_string();
    let all = sealed(&dir);
    let planned = document(0, &["prune", "--dry-run", "-o", "json", &path]);
    let passed = planned["segments"].as_array().unwrap().len();
    assert!(2 < passed && passed < all.len(), "{planned:#}");
    assert_eq!(sealed(&dir), all, "a dry run deletes nothing");

    assert!(tool(&["hold", "incident", &path, "--segments", "2..2"]).status.success());
    let held = document(0, &["ls", "-o", "json", &path]);
    assert_eq!(held["segments"][1]["held_by"][0], "incident");
    let done = document(0, &["prune", "-o", "json", &path]);
    assert_eq!(done["segments"].as_array().unwrap().len(), passed - 1);
    assert!(sealed(&dir).contains(&all[1]), "what is held stays");
    assert_eq!(document(0, &["verify", "-o", "json", &path])["sound"], true);

    assert!(tool(&["release", "incident", &path]).status.success());
    let done = document(0, &["prune", "-o", "json", &path]);
    assert_eq!(done["segments"].as_array().unwrap().len(), 1);
    assert_eq!(sealed(&dir), all[passed..]);

    let old = ["prune", "--older-than", "1ms", "--yes-lose-data", "-o", "json", &path];
    let done = document(0, &old);
    assert!(done["segments"][0]["undelivered_requests"].as_u64().unwrap() > 0, "{done:#}");
    assert_eq!(sealed(&dir), all[all.len() - 1..], "the newest carries on the numbering");
    assert_eq!(document(0, &["verify", "-o", "json", &path])["sound"], true);
    let left = document(0, &["ls", "-o", "json", &path])["totals"]["requests"].as_u64().unwrap();
    let mut process = site.start().await;
    eventually(DRAINED_WITHIN, "the rest is delivered", || backend.requests() == left).await;
    let log = process.stop(DRAINED_WITHIN).await;
    assert!(!log.contains("missing") && !log.contains("damaged"), "{log}");
}

/// Scenario: a damaged segment in quarantine that the cursor has not passed.
/// Guarantees: it goes only with consent, together with its report.
#[test]
fn quarantine_is_emptied_only_when_passed_or_with_consent() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 40, 0);
    let path = dir.path().display().to_string();
    flip(&sealed(dir.path())[1], |_| 4096 + 500);
    document(1, &["repair", "-o", "json", &path]);
    let count = || fs::read_dir(dir.path().join("quarantine")).unwrap().count();
    assert_eq!(count(), 2, "the segment and its report");
    let none = document(0, &["prune", "--quarantine", "-o", "json", &path]);
    assert_eq!(none["segments"].as_array().unwrap().len(), 0);
    let done = document(0, &["prune", "--quarantine", "--yes-lose-data", "-o", "json", &path]);
    assert_eq!(done["segments"].as_array().unwrap().len(), 1);
    assert_eq!(count(), 0);
}

//! `gophership vault repair`, killed at each of its steps.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::vault_tools::document;
use crate::vault_tools::make;
use crate::vault_tools::sealed;
use crate::vault_tools_mend::CASES;
use crate::vault_tools_mend::actions;

/// Every call with which a repair changes something.
const CALLS: &str =
    "rename,renameat,renameat2,pwrite64,fsync,fdatasync,unlink,unlinkat,ftruncate,fallocate,mkdir";
const KILL: i32 = 9;
/// More than any repair makes.
const CALLS_MAX: u64 = 200;

/// Runs a repair that is killed at its `number`-th call; returns whether it came to that.
fn is_killed(path: &str, number: u64) -> bool {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
        .args(["-e", &format!("inject={CALLS}:signal=KILL:when={number}")])
        .arg(env!("CARGO_BIN_EXE_gophership"))
        .args(["vault", "repair", path])
        .env_remove("GOPHERSHIP_CONFIG")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal() == Some(KILL)
}

fn copy(from: &Path, to: &Path) {
    let _absent = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Scenario: each kind of damage that repair knows; the repair is killed at its first call that changes
/// something, at its second, and so on, and is run again.
/// Guarantees: the next repair finds a vault that it can mend, and does; it ends as one that nobody killed, and
/// a third one has nothing to do.
#[test]
fn a_repair_that_is_killed_at_any_call_is_completed_by_the_next() {
    if !untested::can_run(
        "it vault_tools_killed::a_repair_that_is_killed_at_any_call_is_completed_by_the_next",
    ) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for case in &CASES {
        let (damaged, vault) = (dir.path().join("damaged"), dir.path().join("vault"));
        let _absent = fs::remove_dir_all(&damaged);
        fs::create_dir_all(&damaged).unwrap();
        make(&damaged, 40, 0);
        let sound: Vec<Vec<u8>> =
            sealed(&damaged).iter().map(|path| fs::read(path).unwrap()).collect();
        (case.damage)(&damaged);
        let path = vault.display().to_string();
        for number in 1..=CALLS_MAX {
            copy(&damaged, &vault);
            if !is_killed(&path, number) {
                break;
            }
            kills += 1;
            let context = format!("{}, killed at call {number}", case.action);
            document(case.code, &["repair", "-o", "json", &path]);
            let again = document(case.code, &["repair", "-o", "json", &path]);
            assert!(actions(&again).is_empty(), "{context}: {again:#}");
            if case.is_as_before {
                let now: Vec<Vec<u8>> =
                    sealed(&vault).iter().map(|path| fs::read(path).unwrap()).collect();
                assert!(now == sound, "{context}: segments are not what they were");
            }
        }
    }
    assert!(kills >= CASES.len(), "{kills} kills");
}

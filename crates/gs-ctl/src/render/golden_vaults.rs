//! The answers about vaults, replays of a range and a drain are what the committed files say.

use gophership_control::proto;

use super::golden::LONG;
use super::golden::check;
use super::golden::hold;

#[test]
fn what_was_done_with_a_vault_is_what_its_files_say() {
    let (vault, segments) = ("vault".to_owned(), 12);
    let (hold, file_bytes) = (Some(hold()), 805_306_368);
    let answer = proto::HoldVaultResponse { vault, hold, segments, file_bytes };
    check("vault_hold", |format| super::held(&answer, format));
    let hold = proto::VaultHold { name: "backup".to_owned(), ..Default::default() };
    let (vault, name, holds) = ("vault".to_owned(), "operator".to_owned(), vec![hold]);
    let answer = proto::ReleaseVaultResponse { vault, name, holds };
    check("vault_release", |format| super::released(&answer, format));
    let finding = proto::VaultFinding {
        segment: Some(7),
        fault: "body".to_owned(),
        meaning: "the record does not match its checksum".to_owned(),
        path: "/var/lib/gophership/vault/seg-00000000000000000007.gsv".to_owned(),
        start: 4096,
        end: 8192,
        lost_first_seq: Some(31),
        lost_last_seq: Some(33),
    };
    let sound = proto::VaultVerification {
        segments: 12,
        requests: 4000,
        read_bytes: 805_306_368,
        ..Default::default()
    };
    let broken = proto::VaultVerification {
        gone_segments: 1,
        findings: vec![finding],
        findings_total: 1,
        lost_requests: 3,
        ..sound.clone()
    };
    let results = [("vault".to_owned(), sound), ("cold".to_owned(), broken)];
    check("vault_verify", |format| super::verified(&results, format));
    let (segment, file_bytes) = (7, 67_108_864);
    let one = proto::PrunedSegment { segment, file_bytes, requests: 400, undelivered_requests: 25 };
    let (vault, dry_run) = ("vault".to_owned(), true);
    let mut answer = proto::PruneVaultResponse { vault, dry_run, segments: vec![one] };
    check("vault_prune_dry_run", |format| super::pruned(&answer, format));
    (answer.dry_run, answer.segments) = (false, Vec::new());
    check("vault_prune_none", |format| super::pruned(&answer, format));
}

#[test]
fn replays_and_a_drain_are_what_their_files_say() {
    let mut progress = proto::ReplayProgress {
        id: 3,
        vault: "vault".to_owned(),
        sinks: vec!["backend".to_owned(), LONG.to_owned()],
        state: "running".to_owned(),
        read_bytes: 500,
        total_bytes: 1000,
        found_requests: 400,
        found_records: 4000,
        found_bytes: 1_048_576,
        oldest_unix_ms: 1_769_860_800_000,
        newest_unix_ms: 1_769_860_900_000,
        delivered_requests: 790,
        rejected_requests: 1,
        elapsed_ms: 1500,
        reason: "the backend lost its disk".to_owned(),
        ..Default::default()
    };
    check("replay_range", |format| super::started(&progress, format));
    check("replay_dry_run", |format| super::counted(&progress, format));
    check("replay_follow", |format| super::range_event(&progress, format));
    let from = "s3://gophership-archive/prod".to_owned();
    let of_archive = proto::ReplayProgress { id: 4, from, ..progress.clone() };
    check("replay_range_archive", |format| super::started(&of_archive, format));
    check("replay_dry_run_archive", |format| super::counted(&of_archive, format));
    "failed".clone_into(&mut progress.state);
    "the replay of the vault no longer leads to the sink backend".clone_into(&mut progress.error);
    let answer = proto::ListReplaysResponse { replays: vec![progress.clone(), of_archive] };
    check("replay_ls", |format| super::replays(&answer, format));
    check("replay_stop", |format| super::range(&progress, format));
    let mut left = proto::DrainResponse {
        draining: true,
        done: true,
        vault_requests: 100,
        ..Default::default()
    };
    check("drain", |format| super::drained(&left, format));
    (left.done, left.late, left.in_flight_records) = (false, true, 12);
    check("drain_late", |format| super::drained(&left, format));
    left.draining = false;
    check("drain_undo", |format| super::drained(&left, format));
}

//! Deleting sealed segments of an open vault: those that nobody needs, or with `force` also others, whose
//! records the ledger then has as dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use gophership_control::proto;
use gophership_units::unix_ns;
use gophership_vault::Hold;
use gophership_vault::SegmentInfo;
use gophership_vault::Survey;
use tonic::Status;

use super::access::Caller;
use super::changes::blocking;
use super::changes::check_reason;
use super::changes::outcome;
use super::state::ControlService;
use super::vaults;
use super::vaults::refusal;
use crate::component::VaultHandle;

impl ControlService {
    /// Deletes segments, or answers which it would delete.
    pub(super) async fn prune(
        &self,
        caller: &Caller,
        request: proto::PruneVaultRequest,
    ) -> Result<proto::PruneVaultResponse, Status> {
        let detail = detail(&request);
        let (reason, is_dry_run) = (request.reason.clone(), request.dry_run);
        let result = self.prune_now(request).await;
        let said = |answer: &proto::PruneVaultResponse| {
            let undelivered: u64 = answer.segments.iter().map(|one| one.undelivered_requests).sum();
            let segments = answer.segments.len();
            format!("deleted {segments} segments with {undelivered} undelivered requests")
        };
        if !is_dry_run {
            self.note(caller, "PruneVault", &detail, &reason, outcome(&result, said)).await;
        }
        result
    }

    async fn prune_now(
        &self,
        request: proto::PruneVaultRequest,
    ) -> Result<proto::PruneVaultResponse, Status> {
        check_reason(&request.reason)?;
        let vault = request.vault.clone();
        // Unknown, or known and not open: two different answers.
        vaults::dir_of(&self.config.borrow().1, &vault)?;
        let closed = || Status::failed_precondition(format!("the vault {vault} is not open"));
        let handle = self.maintenance.vaults.find(&vault).ok_or_else(closed)?;
        blocking(move || prune(&handle, &request)).await
    }
}

fn detail(request: &proto::PruneVaultRequest) -> String {
    let age = request.older_than_seconds.map_or_else(String::new, |s| format!(" older_than={s}s"));
    let segment = request.segment.map_or_else(String::new, |id| format!(" segment={id}"));
    let force = if request.force { " force" } else { "" };
    format!("vault={}{age}{segment}{force}", request.vault)
}

fn prune(
    handle: &VaultHandle,
    request: &proto::PruneVaultRequest,
) -> Result<proto::PruneVaultResponse, Status> {
    let VaultHandle { log, cursors, .. } = handle;
    let mut chosen = if request.force { log.discardable() } else { log.unneeded() };
    if let Some(id) = request.segment {
        chosen.retain(|info| info.id.get() == id);
        if chosen.is_empty() {
            return Err(no_such(request.force, id));
        }
    }
    if let Some(age) = request.older_than_seconds {
        let old = older_than(handle, age)?;
        chosen.retain(|info| old.contains(&info.id.get()));
    }
    let holds = log.look_at_holds().map_err(|error| refusal(&error))?;
    check_free(handle, &holds, &chosen)?;
    let plan = |info: &SegmentInfo| {
        let needed = cursors.needed(info.first_seq, info.last_seq);
        pruned(info, &needed)
    };
    let mut segments: Vec<_> = chosen.iter().map(plan).collect();
    if !request.dry_run {
        segments = if request.force { discard(handle, &chosen)? } else { delete(handle, &chosen)? };
    }
    let vault = request.vault.clone();
    Ok(proto::PruneVaultResponse { vault, dry_run: request.dry_run, segments })
}

/// Deletes those of the chosen segments that nobody needs.
fn delete(
    handle: &VaultHandle,
    chosen: &[SegmentInfo],
) -> Result<Vec<proto::PrunedSegment>, Status> {
    let is_chosen = |info: &SegmentInfo| chosen.iter().any(|one| one.id == info.id);
    let deleted = handle.log.prune_chosen(is_chosen).map_err(|error| refusal(&error))?;
    Ok(deleted.iter().map(|info| pruned(info, &[])).collect())
}

/// Deletes the chosen segments, whoever needs them.
fn discard(
    handle: &VaultHandle,
    chosen: &[SegmentInfo],
) -> Result<Vec<proto::PrunedSegment>, Status> {
    let cursors = Arc::clone(&handle.cursors);
    let mut deleted = Vec::new();
    for info in chosen {
        let mut needed = Vec::new();
        let give_up = |info: &SegmentInfo| {
            needed = cursors.give_all_up(info.first_seq, info.last_seq);
            needed.clone()
        };
        let gone = handle.log.discard(info.id, give_up).map_err(|error| refusal(&error))?;
        deleted.extend(gone.map(|info| pruned(&info, &needed)));
    }
    cursors.save_all().map_err(|error| refusal(&error))?;
    Ok(deleted)
}

/// Whether a segment that was named may go.
fn no_such(is_forced: bool, id: u64) -> Status {
    let text = if is_forced {
        format!("segment {id} is not a sealed segment, or is the newest, which always stays")
    } else {
        format!(
            "segment {id} is not a sealed segment that every sink and archive has; --force also \
             deletes requests that a sink still needs"
        )
    };
    Status::failed_precondition(text)
}

/// Refuses what a hold or a replay keeps.
fn check_free(handle: &VaultHandle, holds: &[Hold], chosen: &[SegmentInfo]) -> Result<(), Status> {
    for info in chosen {
        if let Some(hold) = holds.iter().find(|hold| hold.covers(info.id)) {
            let why = if hold.reason.is_empty() { "no reason given" } else { &hold.reason };
            let text = format!("hold {:?} keeps segment {}: {why}", hold.name, info.id);
            return Err(Status::failed_precondition(text));
        }
        if handle.log.is_pinned(info.id) {
            let text = format!("a replay reads segment {}; `gs-ctl replay ls` shows it", info.id);
            return Err(Status::failed_precondition(text));
        }
    }
    Ok(())
}

/// The numbers of the segments whose newest request is older than this.
fn older_than(handle: &VaultHandle, seconds: u64) -> Result<BTreeSet<u64>, Status> {
    let survey = Survey::take(handle.log.dir()).map_err(|error| refusal(&error))?;
    let before = unix_ns().saturating_sub(seconds.saturating_mul(1_000_000_000));
    let is_old = |last_unix_ns: u64| last_unix_ns != 0 && last_unix_ns < before;
    let old = survey.segments.iter().filter(|one| is_old(one.last_received_unix_ns));
    Ok(old.map(|one| one.id.get()).collect())
}

fn pruned(info: &SegmentInfo, needed: &[(u64, u64)]) -> proto::PrunedSegment {
    proto::PrunedSegment {
        segment: info.id.get(),
        file_bytes: info.file_bytes,
        requests: info.records,
        undelivered_requests: needed.iter().map(|(first, last)| last - first + 1).sum(),
    }
}

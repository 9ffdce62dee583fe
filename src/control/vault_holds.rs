//! Holds: an operator keeps the segments of a vault, for a backup or as evidence. They are files in the
//! directory of the vault, so that they outlive the process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gophership_control::proto;
use gophership_units::unix_ns;
use gophership_vault::Hold;
use gophership_vault::Log;
use gophership_vault::Survey;
use tonic::Status;

use super::access::Caller;
use super::changes::blocking;
use super::changes::check_reason;
use super::changes::outcome;
use super::state::ControlService;
use super::vaults;
use super::vaults::refusal;
use super::vaults::wire_hold;

impl ControlService {
    /// Places a hold, or gives one another end and another reason.
    pub(super) async fn place_hold(
        &self,
        caller: &Caller,
        request: proto::HoldVaultRequest,
    ) -> Result<proto::HoldVaultResponse, Status> {
        let proto::HoldVaultRequest { vault, name, ttl_seconds, reason } = request;
        let ttl = ttl_seconds.map_or_else(String::new, |ttl| format!(" ttl={ttl}s"));
        let detail = format!("vault={vault} hold={name}{ttl}");
        let now_ms = unix_ns() / 1_000_000;
        let until_unix_ms = ttl_seconds.map(|ttl| end_of(now_ms, ttl));
        let hold = Hold { name, segments: None, until_unix_ms, reason: reason.clone() };
        let result = self.hold_vault_now(vault, hold).await;
        let said = |answer: &proto::HoldVaultResponse| {
            format!("holds {} segments with {} bytes", answer.segments, answer.file_bytes)
        };
        self.note(caller, "HoldVault", &detail, &reason, outcome(&result, said)).await;
        result
    }

    async fn hold_vault_now(
        &self,
        vault: String,
        hold: Hold,
    ) -> Result<proto::HoldVaultResponse, Status> {
        check_reason(&hold.reason)?;
        let dir = vaults::dir_of(&self.config.borrow().1, &vault)?;
        let log = self.maintenance.vaults.find(&vault).map(|handle| handle.log);
        blocking(move || {
            gophership_vault::place_hold(&dir, &hold).map_err(|error| refusal(&error))?;
            let (segments, file_bytes) = covered(log.as_deref(), &dir)?;
            Ok(proto::HoldVaultResponse {
                vault,
                hold: Some(wire_hold(&hold)),
                segments,
                file_bytes,
            })
        })
        .await
    }

    /// Ends a hold.
    pub(super) async fn release_hold(
        &self,
        caller: &Caller,
        request: proto::ReleaseVaultRequest,
    ) -> Result<proto::ReleaseVaultResponse, Status> {
        let proto::ReleaseVaultRequest { vault, name, reason } = request;
        let detail = format!("vault={vault} hold={name}");
        let result = match check_reason(&reason) {
            Ok(()) => self.release_now(vault, name).await,
            Err(status) => Err(status),
        };
        let said = |answer: &proto::ReleaseVaultResponse| {
            format!("released; {} other holds", answer.holds.len())
        };
        self.note(caller, "ReleaseVault", &detail, &reason, outcome(&result, said)).await;
        result
    }

    async fn release_now(
        &self,
        vault: String,
        name: String,
    ) -> Result<proto::ReleaseVaultResponse, Status> {
        let dir = vaults::dir_of(&self.config.borrow().1, &vault)?;
        let log = self.maintenance.vaults.find(&vault).map(|handle| handle.log);
        blocking(move || {
            if gophership_vault::release_hold(&dir, &name).map_err(|error| refusal(&error))? == 0 {
                let text = format!("the vault {vault} has no hold {name:?}");
                return Err(Status::not_found(text));
            }
            let holds = match log {
                Some(log) => log.look_at_holds(),
                None => Survey::take(&dir).map(|survey| survey.holds),
            };
            let holds = holds.map_err(|error| refusal(&error))?;
            let holds = holds.iter().map(wire_hold).collect();
            Ok(proto::ReleaseVaultResponse { vault, name, holds })
        })
        .await
    }

    /// The holds of an open vault, as it last read them.
    pub(super) fn holds_of(&self, vault: &str) -> Vec<proto::VaultHold> {
        let log: Option<Arc<Log>> = self.maintenance.vaults.find(vault).map(|handle| handle.log);
        log.map_or_else(Vec::new, |log| log.holds().iter().map(wire_hold).collect())
    }
}

fn end_of(now_ms: u64, ttl_seconds: u64) -> u64 {
    let ttl = Duration::from_secs(ttl_seconds).as_millis();
    now_ms.saturating_add(u64::try_from(ttl).unwrap_or(u64::MAX))
}

/// The segments with records that a hold of everything keeps now, and their bytes.
fn covered(log: Option<&Log>, dir: &Path) -> Result<(u64, u64), Status> {
    let bytes: Vec<u64> = if let Some(log) = log {
        // What was chosen for deletion before the hold was there is out of the list then.
        log.look_at_holds().map_err(|error| refusal(&error))?;
        log.segments().iter().filter(|one| 0 < one.records).map(|one| one.file_bytes).collect()
    } else {
        let survey = Survey::take(dir).map_err(|error| refusal(&error))?;
        let segments = survey.segments.iter().filter(|one| 0 < one.records);
        segments.map(|one| one.file_bytes).collect()
    };
    Ok((bytes.len() as u64, bytes.iter().sum()))
}

//! Which requests an operator means, which source sends them, and to which sinks.

use gophership_control::proto;
use tonic::Status;

use super::state::ControlService;
use super::vaults;
use crate::component::ArchiveLocation;
use crate::component::ComponentId;
use crate::component::ReplayRange;
use crate::component::VaultHandle;
use crate::config::Config;
use crate::event::Signal;

/// What a request asks for, and which source is to do it.
pub(super) struct ChosenReplay {
    /// The vault that the source reads.
    pub(super) vault: String,
    pub(super) handle: VaultHandle,
    pub(super) replay: ComponentId,
    pub(super) range: ReplayRange,
}

/// A source that carries replays out, and where it leads.
struct Candidate {
    vault: String,
    handle: VaultHandle,
    replay: ComponentId,
    sinks: Vec<String>,
}

impl ControlService {
    /// Finds what a request asks for.
    pub(super) fn choose_replay(
        &self,
        request: &proto::ReplayRequest,
    ) -> Result<ChosenReplay, Status> {
        let config = self.config.borrow().1.clone();
        let archive = match request.from.as_str() {
            "" => None,
            url => Some(archive_at(&config, url)?),
        };
        let signal = match request.signal.as_str() {
            "" => None,
            name => Some(signal_of(name)?),
        };
        if request.rate == Some(0) {
            return Err(Status::invalid_argument("the rate must be more than 0"));
        }
        let chosen = choose(self.candidates(&config, &request.vault)?, &request.sinks)?;
        let Candidate { vault, handle, replay, sinks } = chosen;
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let range = ReplayRange {
            archive,
            since_unix_ns: request.since_unix_ms.map(ns),
            until_unix_ns: request.until_unix_ms.map(ns),
            source: Some(request.source.clone()).filter(|source| !source.is_empty()),
            signal,
            rate: request.rate,
            sinks: if request.sinks.is_empty() { sinks } else { request.sinks.clone() },
        };
        Ok(ChosenReplay { vault, handle, replay, range })
    }

    /// The sources that carry replays out, of one vault or of all.
    fn candidates(&self, config: &Config, wanted: &str) -> Result<Vec<Candidate>, Status> {
        let mut found = Vec::new();
        let names = match wanted {
            "" => vaults::dirs(config).into_iter().map(|(id, _)| id).collect(),
            name => {
                vaults::dir_of(config, name)?;
                vec![name.to_owned()]
            }
        };
        for vault in names {
            let Some(handle) = self.maintenance.vaults.find(&vault) else {
                if wanted.is_empty() {
                    continue;
                }
                let text = format!("the vault {vault} is not open");
                return Err(Status::failed_precondition(text));
            };
            for replay in handle.jobs.served_by() {
                let sinks = self.wiring.sink_names(replay.as_str());
                let (vault, handle) = (vault.clone(), handle.clone());
                found.push(Candidate { vault, handle, replay, sinks });
            }
        }
        found.retain(|one| !one.sinks.is_empty());
        if found.is_empty() {
            let of = if wanted.is_empty() { "a vault" } else { &format!("the vault {wanted}") };
            let text = format!(
                "no `vault_replay` source reads {of}, so nothing can be sent from here: add one, or \
                 remove `replay: off` of the vault"
            );
            return Err(Status::failed_precondition(text));
        }
        Ok(found)
    }
}

/// The one that leads to all of these sinks, or the only one there is.
fn choose(mut candidates: Vec<Candidate>, wanted: &[String]) -> Result<Candidate, Status> {
    let mut vaults: Vec<String> = candidates.iter().map(|one| one.vault.clone()).collect();
    vaults.dedup();
    let (known, vaults_known) = (all_sinks(&candidates), vaults.join(", "));
    if wanted.is_empty() && 1 < candidates.len() {
        let text = if 1 < vaults.len() {
            format!("there are several vaults; name one with --vault: {vaults_known}")
        } else {
            format!("several replays read the vault {vaults_known}; name sinks with --to: {known}")
        };
        return Err(Status::invalid_argument(text));
    }
    candidates.retain(|one| wanted.iter().all(|sink| one.sinks.contains(sink)));
    let mut leading: Vec<&str> = candidates.iter().map(|one| one.vault.as_str()).collect();
    leading.dedup();
    if 1 < leading.len() {
        let text = format!(
            "replays of several vaults lead to that; name one with --vault: {}",
            leading.join(", ")
        );
        return Err(Status::invalid_argument(text));
    }
    let none = || {
        let of = if 1 < vaults.len() { "the vaults" } else { "the vault" };
        let text = format!("no replay of {of} {vaults_known} leads to that; sinks: {known}");
        Status::failed_precondition(text)
    };
    candidates.into_iter().next().ok_or_else(none)
}

fn all_sinks(candidates: &[Candidate]) -> String {
    let mut sinks: Vec<&str> =
        candidates.iter().flat_map(|one| &one.sinks).map(String::as_str).collect();
    sinks.sort_unstable();
    sinks.dedup();
    sinks.join(", ")
}

/// The archive of the configuration that has this address: the process has the credentials for no other.
fn archive_at(config: &Config, url: &str) -> Result<ArchiveLocation, Status> {
    let of_sinks = config.sinks.values().filter_map(|entry| entry.config.archive());
    let of_sources = config.sources.values().filter_map(|entry| entry.config.archive());
    let archives: Vec<ArchiveLocation> = of_sinks.chain(of_sources).collect();
    if let Some(found) = archives.iter().find(|archive| archive.is_at(url)) {
        return Ok(found.clone());
    }
    let mut known: Vec<String> = archives.iter().map(ArchiveLocation::url).collect();
    known.sort_unstable();
    known.dedup();
    let text = if known.is_empty() {
        "no component of the configuration has an archive: add an `s3` sink with `vault`, or an \
         `s3_replay` source"
            .to_owned()
    } else {
        format!(
            "no component of the configuration has the archive {url}; archives: {}",
            known.join(", ")
        )
    };
    Err(Status::not_found(text))
}

fn signal_of(name: &str) -> Result<Signal, Status> {
    let found = Signal::ALL.into_iter().find(|signal| signal.name() == name);
    found.ok_or_else(|| Status::invalid_argument("a signal is logs, traces or metrics"))
}

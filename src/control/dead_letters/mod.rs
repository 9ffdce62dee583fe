//! Dead letters: which ones are meant, and what is asked of them.

mod list;
mod noted;
mod part;
mod redrive;
mod show;
mod wanted;

pub(super) use list::list;
pub(super) use redrive::RedriveEvents;
pub(super) use show::LetterPieces;

use gophership_control::proto;
use tonic::Status;

use crate::component::Letter;
use crate::component::LetterError;
use crate::component::RedriveProgress;
use crate::component::Vaults;
use crate::topology::Wiring;

const NS_PER_MS: u64 = 1_000_000;

/// Works on the letters of vaults beside the workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?
}

/// Letters could not be read or taken out.
fn fault(vault: &str) -> impl Fn(LetterError) -> Status {
    move |error| match error {
        LetterError::Scattered => Status::failed_precondition(format!("vault {vault}: {error}")),
        error => Status::internal(format!("dead letters of vault {vault}: {error}")),
    }
}

/// The name of a letter: its vault, its segment and its number.
fn id_of(vault: &str, letter: &Letter) -> String {
    format!("{vault}/{}-{}", letter.segment, letter.seq)
}

/// The sinks behind each replay of a vault.
fn sinks_behind(vaults: &Vaults, wiring: &Wiring, vault: &str) -> Vec<Vec<String>> {
    let replays = vaults.find(vault).map(|handle| handle.jobs.served_by()).unwrap_or_default();
    replays.iter().map(|replay| wiring.sink_names(replay.as_str())).collect()
}

fn wire_letter(vault: &str, letter: &Letter) -> proto::DeadLetter {
    proto::DeadLetter {
        id: id_of(vault, letter),
        vault: vault.to_owned(),
        sink: letter.sink_names(),
        source: letter.source.clone(),
        signal: letter.signal_name().to_owned(),
        records: letter.records,
        bytes: letter.wire.len() as u64,
        reason: letter.reason.clone(),
        refused_unix_ms: letter.refused_unix_ms,
        received_unix_ms: letter.received_unix_ns / NS_PER_MS,
    }
}

fn wire_redrive(vault: &str, progress: &RedriveProgress) -> proto::Redrive {
    let RedriveProgress { selected, delivered, refused, failed, is_done, stopped } = progress;
    proto::Redrive {
        vault: vault.to_owned(),
        letters: selected.letters,
        records: selected.records,
        delivered_letters: delivered.letters,
        delivered_records: delivered.records,
        refused_letters: refused.letters,
        refused_records: refused.records,
        failed_letters: failed.letters,
        failed_records: failed.records,
        done: *is_done,
        stopped: stopped.clone(),
    }
}

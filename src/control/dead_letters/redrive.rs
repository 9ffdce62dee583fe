//! Sends dead letters again, or drops them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use gophership_control::proto;
use tokio::sync::watch;
use tonic::Status;

use super::blocking;
use super::fault;
use super::sinks_behind;
use super::wanted::LetterQuery;
use super::wanted::VaultLetters;
use super::wire_redrive;
use crate::component::DeadLetters;
use crate::component::LetterSelection;
use crate::component::LetterTotals;
use crate::component::RedriveOrder;
use crate::component::RedriveProgress;
use crate::component::RedriveRefusal;
use crate::component::Vaults;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::topology::Wiring;

/// How often the progress of a redrive is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What a client is sent that waits for a redrive.
pub(in super::super) type RedriveEvents =
    Pin<Box<dyn Stream<Item = Result<proto::RedriveDeadLettersResponse, Status>> + Send>>;

/// The redrive of one vault: under way, or only counted.
enum Begun {
    Counted(RedriveProgress),
    UnderWay(watch::Receiver<RedriveProgress>),
}

impl Begun {
    fn progress(&self) -> RedriveProgress {
        match self {
            Self::Counted(progress) => progress.clone(),
            Self::UnderWay(progress) => progress.borrow().clone(),
        }
    }
}

/// Begins a redrive in each vault that has letters that are meant, and tells how far each is.
pub(in super::super) async fn redrive(
    vaults: &Vaults,
    wiring: &Wiring,
    request: proto::RedriveDeadLettersRequest,
) -> Result<(RedriveEvents, proto::RedriveDeadLettersResponse), Status> {
    let proto::RedriveDeadLettersRequest { selection, dry_run, wait, to, .. } = request;
    let mut begun = Vec::new();
    for ((id, letters), selection) in LetterQuery::of(selection)?.vaults(vaults)? {
        let name = id.clone();
        let counting = Arc::clone(&letters);
        let (selection, selected) =
            blocking(move || count(&name, &counting, selection, dry_run)).await?;
        if selected == LetterTotals::default() {
            continue;
        }
        check_sinks(&id, &sinks_behind(vaults, wiring, &id), &to)?;
        let one = if dry_run {
            Begun::Counted(RedriveProgress { selected, ..RedriveProgress::default() })
        } else {
            match letters.order_redrive(RedriveOrder { selection, to: to.clone() }, selected) {
                Ok(progress) => Begun::UnderWay(progress),
                Err(refusal) if begun.is_empty() => return Err(refused(&id, refusal)),
                // Those of other vaults have begun.
                Err(refusal) => Begun::Counted(RedriveProgress {
                    selected,
                    is_done: true,
                    stopped: refusal.to_string(),
                    ..RedriveProgress::default()
                }),
            }
        };
        begun.push((id, one));
    }
    let first = told(&begun);
    let is_over = !wait || dry_run;
    Ok((events(begun, first.clone(), is_over), first))
}

/// Checks that one replay of a vault leads to all sinks that an operator named.
fn check_sinks(vault: &str, behind: &[Vec<String>], to: &[String]) -> Result<(), Status> {
    if behind.iter().any(|sinks| to.iter().all(|sink| sinks.contains(sink))) || to.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<&str> = behind.iter().flatten().map(String::as_str).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let (wanted, known) = (to.join(", "), known.join(", "));
    Err(Status::failed_precondition(format!(
        "no replay of the vault {vault} leads to {wanted}; sinks: {known}"
    )))
}

/// Counts the letters that are meant, up to the last one that is there now.
fn count(
    vault: &str,
    letters: &DeadLetters,
    mut selection: LetterSelection,
    is_dry_run: bool,
) -> Result<(LetterSelection, LetterTotals), Status> {
    if !is_dry_run {
        let last = letters.open().map_err(fault(vault))?;
        selection.through = Some(selection.through.map_or(last, |through| through.min(last)));
    }
    let selected = letters.count(&selection).map_err(fault(vault))?;
    Ok((selection, selected.tally))
}

fn told(begun: &[(String, Begun)]) -> proto::RedriveDeadLettersResponse {
    let redrives = begun.iter().map(|(id, one)| wire_redrive(id, &one.progress())).collect();
    proto::RedriveDeadLettersResponse { redrives }
}

/// Tells the first of it at once, and from then on what has changed. Who does not read misses what was
/// in between.
fn events(
    begun: Vec<(String, Begun)>,
    first: proto::RedriveDeadLettersResponse,
    is_over: bool,
) -> RedriveEvents {
    let is_over = is_over || are_done(&first);
    let next = move |(begun, last, is_over): (
        Vec<(String, Begun)>,
        proto::RedriveDeadLettersResponse,
        bool,
    )| async move {
        if is_over {
            return None;
        }
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let now = told(&begun);
            if now != last {
                let is_over = are_done(&now);
                return Some((Ok(now.clone()), (begun, now, is_over)));
            }
        }
    };
    let rest = stream::unfold((begun, first.clone(), is_over), next);
    let first = stream::once(std::future::ready(Ok(first)));
    Box::pin(stream::StreamExt::chain(first, rest))
}

fn are_done(told: &proto::RedriveDeadLettersResponse) -> bool {
    told.redrives.iter().all(|redrive| redrive.done)
}

/// What was begun, for the audit log.
pub(in super::super) fn said_of_redrive(begun: &proto::RedriveDeadLettersResponse) -> String {
    let letters: u64 = begun.redrives.iter().map(|redrive| redrive.letters).sum();
    let records: u64 = begun.redrives.iter().map(|redrive| redrive.records).sum();
    format!("began with {letters} letters, {records} records")
}

fn refused(vault: &str, refusal: RedriveRefusal) -> Status {
    Status::failed_precondition(format!("vault {vault}: {refusal}"))
}

/// Drops letters, or only counts them.
pub(in super::super) async fn drop_letters(
    vaults: &Vaults,
    ledgers: &'static Ledgers,
    request: proto::DropDeadLettersRequest,
) -> Result<proto::DropDeadLettersResponse, Status> {
    let proto::DropDeadLettersRequest { selection, dry_run, .. } = request;
    let mut answer = proto::DropDeadLettersResponse::default();
    for ((id, letters), selection) in LetterQuery::of(selection)?.vaults(vaults)? {
        let vault = id.clone();
        let (tally, last) = if dry_run {
            let counted = blocking(move || letters.count(&selection).map_err(fault(&vault)));
            let counted = counted.await?;
            (counted.tally, counted.last_seq)
        } else {
            blocking(move || drop_in(&(vault, letters), &selection, ledgers)).await?
        };
        answer.letters += tally.letters;
        answer.records += tally.records;
        answer.ends.push(proto::LetterEnd { vault: id, number: last });
    }
    Ok(answer)
}

/// Takes letters out of a store for good, and books them as dropped. One that a crash finds in between is
/// not in the store; the next start settles the ledger.
fn drop_in(
    (vault, letters): &VaultLetters,
    selection: &LetterSelection,
    ledgers: &Ledgers,
) -> Result<(LetterTotals, u64), Status> {
    let _turn = letters.begin_drop().map_err(|refusal| refused(vault, refusal))?;
    letters.open().map_err(fault(vault))?;
    let counted = letters.take_out_all(selection).map_err(fault(vault))?;
    for ((source, signal), records) in &counted.booked {
        let ledger = ledgers.source(source);
        ledger.shift(*signal, Bucket::DeadLettered, Bucket::Dropped, *records);
    }
    Ok((counted.tally, counted.last_seq))
}

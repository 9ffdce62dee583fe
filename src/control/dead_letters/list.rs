//! Lists dead letters, a part for each question.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use gophership_control::proto;
use gophership_units::unix_ns;
use tonic::Status;

use super::NS_PER_MS;
use super::blocking;
use super::fault;
use super::id_of;
use super::part::PartBuilder;
use super::sinks_behind;
use super::wanted::LetterQuery;
use super::wanted::VaultLetters;
use super::wanted::parse_id;
use super::wire_redrive;
use crate::component::LetterSelection;
use crate::component::Vaults;
use crate::config::Config;
use crate::topology::Wiring;

/// Answers with the part behind the one that was asked for before.
pub(in super::super) async fn list(
    vaults: &Vaults,
    wiring: &Wiring,
    config: &Config,
    request: proto::ListDeadLettersRequest,
) -> Result<proto::ListDeadLettersResponse, Status> {
    let proto::ListDeadLettersRequest { selection, each, after, limit } = request;
    let meant = LetterQuery::of(selection)?.vaults(vaults)?;
    let after = if after.is_empty() { None } else { Some(parse_id(&after)?) };
    let redrive = |((id, letters), _): &(VaultLetters, LetterSelection)| {
        letters.last_redrive().map(|progress| wire_redrive(id, &progress))
    };
    let redrives = meant.iter().filter_map(redrive).collect();
    let sinks = meant.iter().map(|((id, _), _)| {
        let mut names: BTreeSet<String> =
            sinks_behind(vaults, wiring, id).into_iter().flatten().collect();
        // A sink that was renamed takes the letters of its former names.
        let sinks = config.sinks.iter().filter(|(id, _)| names.contains(id.as_str()));
        let former: Vec<String> =
            sinks.flat_map(|(_, sink)| &sink.formerly).map(ToString::to_string).collect();
        names.extend(former);
        (id.clone(), names)
    });
    let sinks: BTreeMap<String, BTreeSet<String>> = sinks.collect();
    let mut part =
        blocking(move || read(&meant, after.as_ref(), PartBuilder::new(each, limit))).await?;
    for group in &mut part.groups {
        let behind = sinks.get(&group.vault);
        let is_there = |sink: &str| behind.is_some_and(|behind| behind.contains(sink));
        group.sink_is_gone = group.sink != "*" && !group.sink.split(',').any(is_there);
    }
    let now_unix_ms = unix_ns() / NS_PER_MS;
    Ok(proto::ListDeadLettersResponse { now_unix_ms, redrives, ..part })
}

/// Vaults come in the order of their ids.
fn read(
    meant: &[(VaultLetters, LetterSelection)],
    after: Option<&(String, (u64, u64))>,
    mut part: PartBuilder,
) -> Result<proto::ListDeadLettersResponse, Status> {
    let mut damaged = 0;
    for ((id, letters), selection) in meant {
        let begin = match after {
            Some((vault, _)) if id < vault => continue,
            Some((vault, place)) if id == vault => Some(*place),
            _ => None,
        };
        let mut walk = letters.walk(begin, selection).map_err(fault(id))?;
        while let Some(letter) = letters.next(&mut walk).map_err(fault(id))? {
            part.pass(&letter);
            if selection.has(&letter) {
                part.add(id, &letter);
            }
            if part.is_full() {
                damaged += walk.faults();
                let answer = part.answer(id_of(id, &letter));
                return Ok(proto::ListDeadLettersResponse { damaged, ..answer });
            }
        }
        damaged += walk.faults();
    }
    Ok(proto::ListDeadLettersResponse { damaged, ..part.answer(String::new()) })
}

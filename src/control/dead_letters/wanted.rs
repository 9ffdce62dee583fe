//! Which dead letters a request means, checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use gophership_control::proto;
use tonic::Status;

use crate::component::DeadLetters;
use crate::component::LetterSelection;
use crate::component::Vaults;
use crate::event::Signal;

/// The longest text of a selection, in bytes.
const TEXT_LEN_MAX: usize = 1024;

/// The letters of an open vault, by its id.
pub(super) type VaultLetters = (String, Arc<DeadLetters>);

/// Which letters are meant, in which vaults.
#[derive(Clone, Debug, Default)]
pub(super) struct LetterQuery {
    vault: Option<String>,
    all: LetterSelection,
    ids: BTreeMap<String, Vec<(u64, u64)>>,
    ends: BTreeMap<String, u64>,
}

impl LetterQuery {
    /// Checks a selection.
    pub(super) fn of(selection: Option<proto::LetterSelection>) -> Result<Self, Status> {
        let selection = selection.unwrap_or_default();
        let proto::LetterSelection { vault, sink, because, source, signal, .. } = selection;
        for text in [&vault, &sink, &because, &source] {
            if TEXT_LEN_MAX < text.len() {
                let message = "a text of the selection is longer than 1024 bytes";
                return Err(Status::invalid_argument(message));
            }
        }
        if !signal.is_empty() && signal.parse::<Signal>().is_err() {
            return Err(Status::invalid_argument("the signal must be logs, traces or metrics"));
        }
        let (since_unix_ms, until_unix_ms) = (selection.since_unix_ms, selection.until_unix_ms);
        if since_unix_ms.zip(until_unix_ms).is_some_and(|(since, until)| until <= since) {
            return Err(Status::invalid_argument("--until must be later than --since"));
        }
        let mut ids: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for id in &selection.ids {
            let (vault, place) = parse_id(id)?;
            ids.entry(vault).or_default().push(place);
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        let all = LetterSelection {
            sink: given(sink),
            because: given(because),
            source: given(source),
            signal: given(signal),
            since_unix_ms,
            until_unix_ms,
            ..LetterSelection::default()
        };
        let ends = selection.ends.into_iter().map(|end| (end.vault, end.number)).collect();
        Ok(Self { vault: given(vault), all, ids, ends })
    }

    /// The vaults in which letters are meant and can be, with what is meant there.
    pub(super) fn vaults(
        &self,
        vaults: &Vaults,
    ) -> Result<Vec<(VaultLetters, LetterSelection)>, Status> {
        let open = vaults.dead_letters();
        let is_open = |vault: &String| open.iter().any(|(id, _)| id == vault);
        if let Some(unknown) = self.vault.iter().chain(self.ids.keys()).find(|it| !is_open(it)) {
            return Err(Status::not_found(format!("there is no open vault {unknown}")));
        }
        let meant = open.into_iter().filter(|(id, letters)| {
            let is_named = self.vault.as_ref().is_none_or(|vault| vault == id);
            let has_id = self.ids.is_empty() || self.ids.contains_key(id);
            let has_end = self.ends.is_empty() || self.ends.contains_key(id);
            is_named && has_id && has_end && letters.are_there()
        });
        let with_selection = |(id, letters): VaultLetters| {
            let ids = self.ids.get(&id).cloned().unwrap_or_default();
            let through = self.ends.get(&id).copied();
            ((id, letters), LetterSelection { ids, through, ..self.all.clone() })
        };
        Ok(meant.map(with_selection).collect())
    }
}

/// Splits VAULT/SEGMENT-NUMBER.
pub(super) fn parse_id(id: &str) -> Result<(String, (u64, u64)), Status> {
    let parts = || {
        let (vault, place) = id.rsplit_once('/')?;
        let (segment, seq) = place.split_once('-')?;
        let place = (segment.parse().ok()?, seq.parse().ok().filter(|seq| 0 < *seq)?);
        (!vault.is_empty()).then(|| (vault.to_owned(), place))
    };
    let shown: String = id.chars().take(100).collect();
    parts().ok_or_else(|| {
        let message = format!("{shown:?} is no dead letter: an id is VAULT/SEGMENT-NUMBER");
        Status::invalid_argument(message)
    })
}

/// A selection in words, for the audit log.
pub(in super::super) fn detail(selection: Option<&proto::LetterSelection>) -> String {
    let Some(selection) = selection else { return "all".to_owned() };
    let proto::LetterSelection { vault, sink, because, source, signal, .. } = selection;
    let texts = [
        ("vault", vault),
        ("sink", sink),
        ("because", because),
        ("source", source),
        ("signal", signal),
    ];
    let named = texts.iter().filter(|(_, text)| !text.is_empty());
    let mut words: Vec<String> = named.map(|(name, text)| format!("{name}={text}")).collect();
    words.extend(selection.since_unix_ms.map(|ms| format!("since_unix_ms={ms}")));
    words.extend(selection.until_unix_ms.map(|ms| format!("until_unix_ms={ms}")));
    words.extend(selection.ids.iter().map(|id| format!("id={id}")));
    if words.is_empty() { "all".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_vault_segment_and_number() {
        assert_eq!(parse_id("vault/3-17").unwrap(), ("vault".to_owned(), (3, 17)));
        for id in ["", "vault", "vault/3", "/3-1", "vault/x-1", "vault/3-0", "vault/3-1-2"] {
            assert!(parse_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |selection| LetterQuery::of(Some(selection)).is_err();
        let empty = proto::LetterSelection::default;
        assert!(LetterQuery::of(None).is_ok() && !refused(empty()));
        assert!(refused(proto::LetterSelection { signal: "log".to_owned(), ..empty() }));
        assert!(refused(proto::LetterSelection { because: "x".repeat(2000), ..empty() }));
        let (since_unix_ms, until_unix_ms) = (Some(5), Some(5));
        assert!(refused(proto::LetterSelection { since_unix_ms, until_unix_ms, ..empty() }));
        assert!(refused(proto::LetterSelection { ids: vec!["x".to_owned()], ..empty() }));
    }
}

//! Which dead letters are meant. Pure.

use super::letter::Letter;

/// What letters must be like; by default everything is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterSelection {
    /// A sink that misses them.
    pub sink: Option<String>,
    /// A text that the reason contains, in any case.
    pub because: Option<String>,
    /// The source that received them.
    pub source: Option<String>,
    /// The name of their signal.
    pub signal: Option<String>,
    /// They became letters then or later, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// They became letters before that.
    pub until_unix_ms: Option<u64>,
    /// Segment and number of the letters that are meant alone; any if it is empty.
    pub ids: Vec<(u64, u64)>,
    /// The last number.
    pub through: Option<u64>,
}

impl LetterSelection {
    /// Whether a letter is meant.
    #[must_use]
    pub fn has(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == text)
        };
        let misses = |sink: &String| letter.sinks.is_empty() || letter.sinks.contains(sink);
        let says = |because: &String| {
            letter.reason.to_lowercase().contains(because.to_lowercase().as_str())
        };
        let at = letter.refused_unix_ms;
        self.sink.as_ref().is_none_or(misses)
            && self.because.as_ref().is_none_or(says)
            && is(&self.source, &letter.source)
            && is(&self.signal, letter.signal_name())
            && self.since_unix_ms.is_none_or(|since| since <= at)
            && self.until_unix_ms.is_none_or(|until| at < until)
            && (self.ids.is_empty() || self.ids.contains(&(letter.segment, letter.seq)))
            && self.through.is_none_or(|through| letter.seq <= through)
    }

    /// The lowest number that can be meant.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.ids.iter().map(|(_, seq)| *seq).min().unwrap_or(0)
    }

    /// The highest number that can be meant.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        let last_id = self.ids.iter().map(|(_, seq)| *seq).max().unwrap_or(u64::MAX);
        last_id.min(self.through.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use crate::event::Provenance;
    use crate::event::Signal;

    use super::*;

    fn letter() -> Letter {
        Letter {
            segment: 2,
            seq: 7,
            signal: Some(Signal::Traces),
            records: 3,
            received_unix_ns: 0,
            refused_unix_ms: 1000,
            source: "otlp".to_owned(),
            sinks: vec!["main".to_owned()],
            reason: "INVALID_ARGUMENT: no such Tenant".to_owned(),
            provenance: Provenance::default(),
            wire: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_letter_is_meant_if_it_is_like_everything_that_is_asked_for() {
        let text = |text: &str| Some(text.to_owned());
        let all = LetterSelection::default();
        let wanted = LetterSelection {
            sink: text("main"),
            because: text("TENANT"),
            source: text("otlp"),
            signal: text("traces"),
            since_unix_ms: Some(1000),
            until_unix_ms: Some(1001),
            ids: vec![(1, 3), (2, 7)],
            through: Some(7),
        };
        assert!(all.has(&letter()) && wanted.has(&letter()));
        assert_eq!((wanted.first_seq(), wanted.last_seq()), (3, 7));
        for other in [
            LetterSelection { sink: text("mai"), ..all.clone() },
            LetterSelection { because: text("quota"), ..all.clone() },
            LetterSelection { source: text("-"), ..all.clone() },
            LetterSelection { signal: text("logs"), ..all.clone() },
            LetterSelection { since_unix_ms: Some(1001), ..all.clone() },
            LetterSelection { until_unix_ms: Some(1000), ..all.clone() },
            LetterSelection { ids: vec![(1, 7)], ..all.clone() },
            LetterSelection { through: Some(6), ..all.clone() },
        ] {
            assert!(!other.has(&letter()), "{other:?}");
        }
        let of_all = Letter { sinks: Vec::new(), ..letter() };
        assert!(LetterSelection { sink: text("any"), ..all }.has(&of_all));
    }
}

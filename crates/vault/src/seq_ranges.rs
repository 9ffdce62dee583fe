//! Ranges of seqs as people read them.

use std::fmt;

/// So many ranges are shown; of further ones their number.
const SHOWN_MAX: usize = 16;

/// Shows ranges, each with its first and last seq, as `1..3, 7`.
#[derive(Debug, Clone, Copy)]
pub struct SeqRanges<'r>(pub &'r [(u64, u64)]);

impl fmt::Display for SeqRanges<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN_MAX).unwrap_or(self.0);
        for (idx, (first, last)) in shown.iter().enumerate() {
            let comma = if idx == 0 { "" } else { ", " };
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}..{last}")?;
            }
        }
        match self.0.len() - shown.len() {
            0 if shown.is_empty() => formatter.write_str("none"),
            0 => Ok(()),
            more => write!(formatter, " and {more} more ranges"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_short_and_bounded() {
        assert_eq!(SeqRanges(&[(1, 3), (7, 7)]).to_string(), "1..3, 7");
        assert_eq!(SeqRanges(&[]).to_string(), "none");
        let many: Vec<_> = (0..20).map(|seq| (seq, seq)).collect();
        let text = SeqRanges(&many).to_string();
        assert!(text.starts_with("0, 1, ") && text.ends_with("15 and 4 more ranges"), "{text}");
    }
}

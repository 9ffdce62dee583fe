//! Rows with names, for as many sources or sinks as are told apart. Finding one takes no lock.

use std::sync::Arc;
use std::sync::OnceLock;

/// Rows of their own; whoever comes later shares one more.
pub const ROWS_OWN: usize = 63;

/// Of whom it is not known who it is; no component has this name.
pub const UNKNOWN: &str = "-";
/// The row that all share who have none of their own; no component has this name.
pub const OTHERS: &str = "(others)";

/// One row for each name; a name keeps its row as long as the process lives.
#[derive(Debug)]
pub(super) struct Rows<T>([OnceLock<(Arc<str>, T)>; ROWS_OWN + 1]);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; ROWS_OWN + 1])
    }
}

impl<T> Rows<T> {
    /// The row of a name and its number; it is made now if there is none.
    pub(super) fn row(&self, name: &str, make: impl Fn() -> T) -> (u8, &T) {
        let slot = |idx: usize, name: &str| self.0[idx].get_or_init(|| (name.into(), make()));
        let has = |idx: &usize| *slot(*idx, name).0 == *name;
        let own = (0..ROWS_OWN).filter(|_| name != OTHERS).find(has);
        let idx = own.unwrap_or(ROWS_OWN);
        (u8::try_from(idx).unwrap_or(u8::MAX), &slot(idx, OTHERS).1)
    }

    /// The row of a number.
    pub(super) fn get(&self, idx: u8) -> Option<&T> {
        self.0.get(usize::from(idx)).and_then(OnceLock::get).map(|(_, row)| row)
    }

    /// All rows that there are, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().filter_map(OnceLock::get).map(|(name, row)| (&**name, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_row_of_its_own_as_long_as_there_are_some() {
        let rows = Rows::<()>::default();
        let row = |name: &str| rows.row(name, || ()).0;
        assert_eq!([row("a"), row("b"), row("a"), row(OTHERS)], [0, 1, 0, 63]);
        assert!((2..63).all(|number| row(&number.to_string()) == number));
        assert_eq!([row("more"), row("yet more"), row("b")], [63, 63, 1]);
        let names: Vec<&str> = rows.iter().map(|(name, ())| name).collect();
        assert_eq!((names.len(), names[0], names[63]), (64, "a", OTHERS));
        assert!(rows.get(63).is_some() && rows.get(64).is_none());
    }
}

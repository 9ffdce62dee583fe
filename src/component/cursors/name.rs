//! How the cursors of sinks are called: by the replay that reads them, and the sink.

use gophership_vault::COPY_SUFFIX;

use crate::component::id::ComponentId;

/// Between the id of the replay and that of the sink; no id has capitals.
pub(super) const BETWEEN: &str = ".TO.";
/// The longest name of a cursor.
const NAME_LEN_MAX: usize = 64;
/// Of it, the part that names the replay.
const REPLAY_LEN_MAX: usize = 32;
/// 96 bits: no two of some dozen names have the same.
const FINGERPRINT_LEN: usize = 24;

/// A sink on the path of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorOwner {
    /// The source that replays the vault.
    pub replay: ComponentId,
    /// The sink.
    pub sink: String,
    /// Names that the sink had before: it takes over the cursors of these.
    pub formerly: Vec<String>,
}

impl CursorOwner {
    /// The name of the cursor; what would be too long becomes a fingerprint.
    #[must_use]
    pub fn cursor_name(&self) -> String {
        Self::name_for(&self.replay, &self.sink)
    }

    /// The name of the cursor of a sink that a replay leads to.
    #[must_use]
    pub fn name_for(replay: &ComponentId, sink: &str) -> String {
        let prefix = prefix(replay);
        let room = NAME_LEN_MAX - prefix.len();
        format!("{prefix}{}", fitting(sink, room))
    }

    /// Whether a cursor was one of this sink, under whichever replay and name.
    pub(super) fn had(&self, cursor: &str) -> bool {
        let was = |name: &String| is_of_sink(cursor, name);
        self.is_of(cursor) || self.formerly.iter().any(was)
    }

    /// Whether a cursor was one of this sink under a name that it had before.
    pub(super) fn was(&self, cursor: &str) -> bool {
        self.had(cursor) && !self.is_of(cursor)
    }

    /// Whether a cursor was one of this sink under its name.
    pub(super) fn is_of(&self, cursor: &str) -> bool {
        is_of_sink(cursor, &self.sink)
    }
}

/// Whether a cursor was made for a sink of this name.
fn is_of_sink(cursor: &str, sink: &str) -> bool {
    cursor.split_once(BETWEEN).is_some_and(|(_, part)| names_sink(part, sink))
}

/// Whether the part of a cursor's name that stands for its sink is this sink's.
pub(super) fn names_sink(part: &str, sink: &str) -> bool {
    part == sink || part.len() == FINGERPRINT_LEN && part == fingerprint(sink)
}

/// Whether a replay made a cursor. One that is named like the replay itself is of a version that had
/// no other for a sink that was alone.
pub(super) fn is_made_by(replay: &ComponentId, cursor: &str) -> bool {
    cursor == replay.as_str() || cursor.starts_with(&prefix(replay))
}

/// How the names of a replay's cursors begin.
fn prefix(replay: &ComponentId) -> String {
    format!("{}{BETWEEN}", fitting(replay.as_str(), REPLAY_LEN_MAX))
}

/// The name of the cursor of a sink that copies a vault.
#[must_use]
pub fn copy_cursor_name(sink: &ComponentId) -> String {
    const BEFORE: &str = "s3-";
    let room = NAME_LEN_MAX - BEFORE.len() - COPY_SUFFIX.len();
    format!("{BEFORE}{}{COPY_SUFFIX}", fitting(sink.as_str(), room))
}

/// A text, or a fingerprint of it where it is longer than there is room.
fn fitting(text: &str, room: usize) -> String {
    if text.len() <= room { text.to_owned() } else { fingerprint(text) }
}

fn fingerprint(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(FINGERPRINT_LEN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(replay: &str, sink: &str) -> CursorOwner {
        let formerly = Vec::new();
        CursorOwner { replay: replay.parse().unwrap(), sink: sink.to_owned(), formerly }
    }

    fn cursor_name(replay: &ComponentId, sink: &str) -> String {
        CursorOwner::name_for(replay, sink)
    }

    #[test]
    fn names_of_cursors_fit_and_are_told_apart() {
        let id = |text: &str| text.parse::<ComponentId>().unwrap();
        assert_eq!(cursor_name(&id("replay"), "backend"), "replay.TO.backend");
        let long = "b".repeat(64);
        let name = cursor_name(&id("replay"), &long);
        assert!(name.len() <= NAME_LEN_MAX && name.starts_with("replay.TO."), "{name}");
        assert_ne!(name, cursor_name(&id("replay"), &"c".repeat(64)));
        let longest = id(&"a".repeat(64));
        assert_ne!(cursor_name(&longest, "x"), cursor_name(&longest, "y"));
        assert!(cursor_name(&longest, &long).starts_with(&prefix(&longest)));
        assert!(cursor_name(&longest, &long).len() <= NAME_LEN_MAX);
    }

    #[test]
    fn the_cursor_of_a_copy_fits_and_says_that_it_is_one() {
        let name = |id: &str| copy_cursor_name(&id.parse().unwrap());
        assert_eq!(name("archive"), "s3-archive.COPY");
        let long = "x".repeat(64);
        assert!(name(&long).len() <= NAME_LEN_MAX && name(&long) != name(&"y".repeat(64)));
        assert!(gophership_vault::is_copy_cursor(&name(&long)));
    }

    #[test]
    fn a_sink_knows_the_cursors_that_it_had_under_other_replays_and_names() {
        let mut sink = owner("replay", "b");
        assert!(sink.had("vault_replay.TO.b") && !sink.had("replay.TO.a") && !sink.had("replay"));
        sink.formerly = vec!["a".to_owned(), "c".repeat(64)];
        assert!(sink.had("replay.TO.a"));
        assert!(sink.had(&cursor_name(&"other".parse().unwrap(), &"c".repeat(64))));
        assert!(!sink.had(&cursor_name(&"other".parse().unwrap(), &"d".repeat(64))));
    }
}

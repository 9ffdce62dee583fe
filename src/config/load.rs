//! From YAML text to a [`Node`] tree; the only user of the YAML library.
//!
//! The library tells the place of a value only in errors. So the tree is read in two passes: in the
//! first, the visitor of each scalar keeps what it saw and then fails, and the error, which is
//! dropped, tells the place. That is safe because a scalar is a single event: reading on after the
//! error finds the next value. Mappings and lists take the place of their first key or item. The
//! second pass fetches the written text of scalars that YAML turned into something else, since
//! `version: 1.10` is a text where a text is wanted.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use crate::config::node::Entry;
use crate::config::node::Mark;
use crate::config::node::Node;
use crate::config::node::Plain;
use crate::config::node::Scalar;
use crate::config::node::Value;
use crate::config::problem::Problem;
use crate::config::syntax::syntax_problem;

/// The largest document read, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How deep mappings and lists may nest.
const DEPTH_MAX: usize = 32;
/// How many values a document may hold, those repeated by aliases included.
const NODES_MAX: usize = 100_000;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A problem of the text and its place.
pub(super) type Found = (Mark, Problem);

/// A key that stands in its mapping for the second time.
pub(super) struct Duplicate {
    pub(super) key: String,
    pub(super) mark: Mark,
    /// Where it stands first.
    pub(super) first: Mark,
}

/// Parses a document; an empty one is an empty mapping.
///
/// Duplicate keys are all reported beside the tree, which keeps the first of each.
///
/// # Errors
///
/// The one problem that stops the parser: bad syntax, or a limit exceeded.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Duplicate>), Found> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = Problem::TooLarge { bytes: text.len(), max_bytes: TEXT_BYTES_MAX };
        return Err((Mark::START, problem));
    }
    check_flow_depth(text)?;
    let state = State::default();
    let seed = ReadNode { state: &state, key_mark: Mark::START, depth: 0 };
    let mut root = seed
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| syntax_problem(text, &error))?;
    FetchText(&mut root)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| syntax_problem(text, &error))?;
    merge(&mut root).map_err(|mark| {
        (mark, Problem::Syntax { message: "`<<` can merge only mappings".to_owned() })
    })?;
    if root.is_null() {
        root.value = Value::Map(Vec::new());
    }
    Ok((root, state.duplicates.into_inner()))
}

/// Refuses texts whose brackets open absurdly often, before the library's scanner sees them: its
/// time grows with the square of the nesting. Brackets inside quotes count too, which no document
/// of sense comes near.
fn check_flow_depth(text: &str) -> Result<(), Found> {
    const OPEN_MAX: i64 = 1_000;
    let mut open: i64 = 0;
    for (line_idx, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = (open - 1).max(0),
                _ => {}
            }
        }
        if OPEN_MAX < open {
            let line = u32::try_from(line_idx + 1).unwrap_or(u32::MAX);
            let message = "brackets are nested too deep".to_owned();
            return Err((Mark { line, column: 1 }, Problem::Syntax { message }));
        }
    }
    Ok(())
}

/// What the first pass collects beside the tree.
#[derive(Default)]
struct State {
    nodes_len: Cell<usize>,
    duplicates: RefCell<Vec<Duplicate>>,
}

/// Reads one value in the first pass.
struct ReadNode<'s> {
    state: &'s State,
    key_mark: Mark,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ReadNode<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let scalar = Cell::new(None);
        let key_mark = self.key_mark;
        match deserializer.deserialize_any(ReadValue { read: self, scalar: &scalar }) {
            Ok(node) => Ok(node),
            Err(error) => match scalar.take() {
                Some(scalar) => {
                    let mark = mark_of(&error).unwrap_or(key_mark);
                    Ok(Node { mark, value: Value::Scalar(scalar) })
                }
                None => Err(error),
            },
        }
    }
}

/// The visitor of [`ReadNode`]: returns mappings and lists, and fails on scalars after keeping them.
struct ReadValue<'s, 'c> {
    read: ReadNode<'s>,
    scalar: &'c Cell<Option<Scalar>>,
}

impl ReadValue<'_, '_> {
    /// Keeps a scalar and fails, so that the library tells where it stands.
    fn keep<E: serde::de::Error>(self, plain: Plain, text: &str) -> Result<Node, E> {
        self.count_node()?;
        self.scalar.set(Some(Scalar { text: text.to_owned(), plain, template: None }));
        Err(E::custom(""))
    }

    fn count_node<E: serde::de::Error>(&self) -> Result<(), E> {
        let nodes_len = self.read.state.nodes_len.get() + 1;
        self.read.state.nodes_len.set(nodes_len);
        if nodes_len <= NODES_MAX {
            Ok(())
        } else {
            Err(E::custom(format_args!("the document has more than {NODES_MAX} values")))
        }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.read.depth < DEPTH_MAX {
            Ok(())
        } else {
            Err(E::custom(format_args!("values are nested deeper than {DEPTH_MAX} levels")))
        }
    }

    /// Returns the reader of a value inside this one.
    fn inner(&self, key_mark: Mark) -> ReadNode<'_> {
        ReadNode { state: self.read.state, key_mark, depth: self.read.depth + 1 }
    }
}

impl<'de> Visitor<'de> for ReadValue<'_, '_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        self.keep(Plain::Null, "")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.keep(Plain::Null, "")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node, E> {
        self.keep(Plain::Bool(value), "")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        self.keep(Plain::Unsigned(value), "")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        self.keep(Plain::Signed(value), "")
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Node, E> {
        Err(E::custom("the number is too small"))
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Node, E> {
        Err(E::custom("the number is too large"))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        self.keep(Plain::Float(value), "")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        self.keep(Plain::Text, value)
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(A::Error::custom("YAML tags (`!name`) are not supported"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.count_node()?;
        self.check_depth()?;
        let mut items: Vec<Node> = Vec::new();
        loop {
            let near = items.last().map_or(self.read.key_mark, |item| item.mark);
            match access.next_element_seed(self.inner(near))? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        let mark = items.first().map_or(self.read.key_mark, |item| item.mark);
        Ok(Node { mark, value: Value::Seq(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.count_node()?;
        self.check_depth()?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashMap::new();
        while let Some((key, key_mark)) = access.next_key_seed(ReadKey)? {
            let key_mark = key_mark.unwrap_or(self.read.key_mark);
            let node = access.next_value_seed(self.inner(key_mark))?;
            if let Some(first) = seen.insert(key.clone(), key_mark) {
                let duplicate = Duplicate { key: key.clone(), mark: key_mark, first };
                self.read.state.duplicates.borrow_mut().push(duplicate);
                seen.insert(key, first);
            } else {
                entries.push(Entry { key, key_mark, node });
            }
        }
        let mark = entries.first().map_or(self.read.key_mark, |entry| entry.key_mark);
        Ok(Node { mark, value: Value::Map(entries) })
    }
}

/// Reads a key and its place, by the same failure on purpose.
struct ReadKey;

impl<'de> DeserializeSeed<'de> for ReadKey {
    type Value = (String, Option<Mark>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let text = Cell::new(None);
        match deserializer.deserialize_str(KeepKey(&text)) {
            Ok(never) => match never {},
            Err(error) => match text.take() {
                Some(key) => Ok((key, mark_of(&error))),
                None => Err(error),
            },
        }
    }
}

/// The visitor of [`ReadKey`].
struct KeepKey<'c>(&'c Cell<Option<String>>);

impl Visitor<'_> for KeepKey<'_> {
    type Value = std::convert::Infallible;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name as the key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        // A bound on keys also bounds the paths the library writes into its errors.
        if key.len() <= KEY_BYTES_MAX {
            self.0.set(Some(key.to_owned()));
        }
        Err(E::custom(format_args!("a key is longer than {KEY_BYTES_MAX} bytes")))
    }
}

/// Walks the finished tree in the second pass and fills in the written text of typed scalars.
struct FetchText<'n>(&'n mut Node);

impl<'de> DeserializeSeed<'de> for FetchText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match &self.0.value {
            Value::Scalar(Scalar { plain: Plain::Text | Plain::Null, .. }) | Value::StandIn(_) => {
                deserializer.deserialize_ignored_any(serde::de::IgnoredAny).map(|_| ())
            }
            Value::Scalar(_) => deserializer.deserialize_str(self),
            Value::Seq(_) => deserializer.deserialize_seq(self),
            Value::Map(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for FetchText<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the document of the first pass")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if let Value::Scalar(scalar) = &mut self.0.value {
            text.clone_into(&mut scalar.text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        if let Value::Seq(items) = &mut self.0.value {
            for item in items {
                access.next_element_seed(FetchText(item))?;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Value::Map(entries) = &mut self.0.value else { return Ok(()) };
        let mut entries = entries.iter_mut().peekable();
        while let Some(key) = access.next_key::<String>()? {
            // A duplicate, dropped in the first pass, is not the next key in the tree.
            match entries.next_if(|entry| entry.key == key) {
                Some(entry) => access.next_value_seed(FetchText(&mut entry.node))?,
                None => access.next_value::<serde::de::IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// Resolves merge keys (`<<: *anchor`): entries of the mapping itself win over merged ones.
fn merge(node: &mut Node) -> Result<(), Mark> {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().try_for_each(merge),
        Value::Map(entries) => {
            entries.iter_mut().try_for_each(|entry| merge(&mut entry.node))?;
            let Some(position) = entries.iter().position(|entry| entry.key == "<<") else {
                return Ok(());
            };
            let merged = entries.remove(position);
            let sources = match merged.node.value {
                Value::Seq(items) => items,
                _ => vec![merged.node],
            };
            let mut seen: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            for source in sources {
                let Value::Map(added) = source.value else { return Err(merged.key_mark) };
                entries.extend(added.into_iter().filter(|entry| seen.insert(entry.key.clone())));
            }
            Ok(())
        }
        Value::Scalar(_) | Value::StandIn(_) => Ok(()),
    }
}

/// Reads the place from the end of one of the library's messages: `... at line 3 column 7`.
fn mark_of(error: &impl fmt::Display) -> Option<Mark> {
    let message = error.to_string();
    let Some((_, place)) = message.rsplit_once(" at line ") else {
        // The library leaves the place out when it is the very first character.
        return Some(Mark::START);
    };
    let (line, column) = place.split_once(" column ")?;
    Some(Mark { line: line.parse().ok()?, column: column.parse().ok()? })
}

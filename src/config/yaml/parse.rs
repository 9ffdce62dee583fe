//! From YAML text to a [`Node`] tree with the place of every value.
//!
//! The parser hands over one event after the other with its place; the tree is built in one pass, and
//! what a scalar means is decided in `scalar.rs`. A value with an anchor is kept as it was built, and
//! copied where an alias names it. Mappings and lists take the place of their first key or item, which
//! is what a message about them shows.
//!
//! The parser is `saphyr-parser`, YAML 1.2 in safe Rust. The choice, and what else there is:
//!
//! - `serde_yaml_ng`, which writes YAML elsewhere in the program, tells a place in errors only. Each scalar
//!   had to fail on purpose, and the document was read twice for the text of its numbers. It took 9 s for
//!   1 MiB of `%TAG` lines, and saw a second document where a line was indented less than the first.
//! - `libyaml-safer`, the same scanner with the same messages in Rust, panics at `[!a,b]`. That scanner
//!   itself, `unsafe-libyaml`, needs unsafe code here.
//! - `saphyr-parser` did not panic on a million mutated documents, and sixty hostile ones of 1 MiB took
//!   it 0.8 s each at most. Documents that people write come out of it as before. It makes a program that
//!   only reads and writes YAML 36 kB smaller. It costs some 100 lines here: what a scalar means was the
//!   business of the library before, and more of the parser's errors have words of ours.

use std::collections::HashMap;

use saphyr_parser::Event;
use saphyr_parser::Parser;
use saphyr_parser::ScalarStyle;
use saphyr_parser::StrInput;
use saphyr_parser::Tag;

use crate::config::diagnosis::Problem;
use crate::config::yaml::merge::merge;
use crate::config::yaml::scalar::meaning;
use crate::config::yaml::syntax::DEPTH_MAX;
use crate::config::yaml::syntax::SyntaxFault;
use crate::config::yaml::syntax::check_characters;
use crate::config::yaml::syntax::found;
use crate::config::yaml::syntax::mark_of;
use crate::config::yaml::syntax::too_deep;
use crate::tree::MapEntry;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::Plain;
use crate::tree::Scalar;

/// The largest document read, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How many values a document may hold, with those that aliases repeat and those kept for them.
const NODES_MAX: usize = 100_000;
/// How many bytes those values may have.
const VALUES_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A key that stands in its mapping for the second time.
pub(in crate::config) struct Duplicate {
    pub(in crate::config) key: String,
    pub(in crate::config) mark: Mark,
    /// Where it stands first.
    pub(in crate::config) first: Mark,
}

/// Parses a document; an empty one is an empty mapping.
///
/// Duplicate keys are all reported beside the tree, which keeps the first of each.
///
/// # Errors
///
/// The one problem that stops the parser: bad syntax, or a limit exceeded.
pub(in crate::config) fn parse(text: &str) -> Result<(Node, Vec<Duplicate>), (Mark, Problem)> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = Problem::TooLarge { bytes: text.len(), max_bytes: TEXT_BYTES_MAX };
        return Err((Mark::START, problem));
    }
    read(text).map_err(|(mark, message)| (mark, Problem::Syntax { message }))
}

fn read(text: &str) -> Result<(Node, Vec<Duplicate>), SyntaxFault> {
    check_characters(text)?;
    let mut reader = Reader::new(text);
    let mut root = reader.document()?;
    merge(&mut root).map_err(|mark| (mark, "`<<` can merge only mappings".to_owned()))?;
    if root.is_null() {
        root.value = NodeValue::Map(Vec::new());
    }
    Ok((root, reader.duplicates))
}

/// Reads a text, and counts what is in it.
struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    /// Where the lists and mappings begin that have not ended yet.
    open: Vec<Mark>,
    /// The values with an anchor that have ended.
    anchored: HashMap<usize, Node>,
    nodes_len: usize,
    values_bytes: usize,
    duplicates: Vec<Duplicate>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            parser: Parser::new_from_str(text),
            open: Vec::new(),
            anchored: HashMap::new(),
            nodes_len: 0,
            values_bytes: 0,
            duplicates: Vec::new(),
        }
    }

    /// Takes the next event with its place.
    fn next(&mut self) -> Result<(Event<'t>, Mark), SyntaxFault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, mark_of(span.start))),
            Some(Err(error)) => Err(found(self.text, &error, self.open.last().copied())),
            None => Ok((Event::StreamEnd, Mark::START)),
        }
    }

    /// Reads the only document.
    fn document(&mut self) -> Result<Node, SyntaxFault> {
        loop {
            match self.next()? {
                (Event::DocumentStart(_), _) => break,
                (Event::StreamEnd, mark) => {
                    return Ok(Node { mark, value: NodeValue::Map(Vec::new()) });
                }
                _ => {}
            }
        }
        let (event, mark) = self.next()?;
        let root = self.node(event, mark)?;
        loop {
            match self.next()? {
                (Event::DocumentStart(_), mark) => {
                    let message =
                        "a second document begins here (`---`); the file must contain only one";
                    return Err((mark, message.to_owned()));
                }
                (Event::StreamEnd, _) => return Ok(root),
                _ => {}
            }
        }
    }

    /// Reads the value that begins with an event.
    fn node(&mut self, event: Event<'t>, mark: Mark) -> Result<Node, SyntaxFault> {
        let (anchor, node) = match event {
            Event::Alias(anchor) => {
                // The parser knows the anchor, so a value that is not there has not ended.
                let node = self.anchored.get(&anchor).cloned();
                let inside = "this alias is inside its own value";
                let node = node.ok_or_else(|| (mark, inside.to_owned()))?;
                self.count_copy(mark, &node, self.open.len())?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(mark, text.len())?;
                (anchor, scalar(mark, &text, style, tag.as_deref())?)
            }
            Event::SequenceStart(anchor, tag) => {
                (anchor, self.nested(mark, tag.as_deref(), Self::list)?)
            }
            Event::MappingStart(anchor, tag) => {
                (anchor, self.nested(mark, tag.as_deref(), Self::mapping)?)
            }
            _ => return Err((mark, "a value is missing here".to_owned())),
        };
        if anchor != 0 {
            self.count_copy(mark, &node, self.open.len())?;
            self.anchored.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Reads a list or mapping, whose place is that of the first thing in it.
    fn nested(
        &mut self,
        mark: Mark,
        tag: Option<&Tag>,
        read: impl FnOnce(&mut Self) -> Result<(Option<Mark>, NodeValue), SyntaxFault>,
    ) -> Result<Node, SyntaxFault> {
        check_tag(mark, tag)?;
        self.count(mark, 0)?;
        if DEPTH_MAX <= self.open.len() {
            return Err((mark, too_deep()));
        }
        self.open.push(mark);
        let (first, value) = read(self)?;
        self.open.pop();
        Ok(Node { mark: first.unwrap_or(mark), value })
    }

    fn list(&mut self) -> Result<(Option<Mark>, NodeValue), SyntaxFault> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                (event, mark) => items.push(self.node(event, mark)?),
            }
        }
        Ok((items.first().map(|item| item.mark), NodeValue::Seq(items)))
    }

    fn mapping(&mut self) -> Result<(Option<Mark>, NodeValue), SyntaxFault> {
        let mut entries: Vec<MapEntry> = Vec::new();
        let mut seen: HashMap<String, Mark> = HashMap::new();
        while let Some((key, key_mark)) = self.key()? {
            let (event, mark) = self.next()?;
            let node = self.node(event, mark)?;
            if let Some(&first) = seen.get(&key) {
                self.duplicates.push(Duplicate { key, mark: key_mark, first });
            } else {
                seen.insert(key.clone(), key_mark);
                entries.push(MapEntry { key, key_mark, node });
            }
        }
        Ok((entries.first().map(|entry| entry.key_mark), NodeValue::Map(entries)))
    }

    /// Reads a key; `None` where the mapping ends instead.
    fn key(&mut self) -> Result<Option<(String, Mark)>, SyntaxFault> {
        let (event, mark) = self.next()?;
        let key = match event {
            Event::MappingEnd => return Ok(None),
            // What no value may be, like a number out of range, is still a name.
            Event::Scalar(key, _, 0, _) => key.into_owned(),
            Event::SequenceStart(..) => return Err((mark, no_key("sequence"))),
            Event::MappingStart(..) => return Err((mark, no_key("map"))),
            event => match self.node(event, mark)?.value {
                NodeValue::Scalar(scalar) => scalar.text,
                NodeValue::Seq(_) => return Err((mark, no_key("sequence"))),
                _ => return Err((mark, no_key("map"))),
            },
        };
        if KEY_BYTES_MAX < key.len() {
            return Err((mark, format!("a key is longer than {KEY_BYTES_MAX} bytes")));
        }
        Ok(Some((key, mark)))
    }

    /// Counts a value of so many bytes.
    fn count(&mut self, mark: Mark, bytes: usize) -> Result<(), SyntaxFault> {
        self.nodes_len += 1;
        self.values_bytes = self.values_bytes.saturating_add(bytes);
        if NODES_MAX < self.nodes_len {
            return Err((mark, format!("the document has more than {NODES_MAX} values")));
        }
        if VALUES_BYTES_MAX < self.values_bytes {
            let max = VALUES_BYTES_MAX;
            return Err((
                mark,
                format!(
                    "the values have more than {max} bytes, including the copies that aliases make"
                ),
            ));
        }
        Ok(())
    }

    /// Counts a copy with all values in it; it stands inside so many others.
    fn count_copy(&mut self, mark: Mark, node: &Node, depth: usize) -> Result<(), SyntaxFault> {
        self.count(mark, node.text().map_or(0, str::len))?;
        match &node.value {
            NodeValue::Seq(_) | NodeValue::Map(_) if DEPTH_MAX <= depth => Err((mark, too_deep())),
            NodeValue::Seq(items) => {
                items.iter().try_for_each(|item| self.count_copy(mark, item, depth + 1))
            }
            NodeValue::Map(entries) => {
                entries.iter().try_for_each(|it| self.count_copy(mark, &it.node, depth + 1))
            }
            NodeValue::Scalar(_) | NodeValue::StandIn(_) => Ok(()),
        }
    }
}

/// Makes the value that a scalar stands for.
fn scalar(
    mark: Mark,
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Node, SyntaxFault> {
    check_tag(mark, tag)?;
    let plain = meaning(text, style, tag).map_err(|message| (mark, message))?;
    let text = if plain == Plain::Null { String::new() } else { text.to_owned() };
    Ok(Node { mark, value: NodeValue::Scalar(Scalar { text, plain, template: None }) })
}

/// Refuses tags other than YAML's own.
fn check_tag(mark: Mark, tag: Option<&Tag>) -> Result<(), SyntaxFault> {
    if tag.is_none_or(Tag::is_yaml_core_schema) {
        return Ok(());
    }
    Err((mark, "YAML tags (`!name`) are not supported".to_owned()))
}

fn no_key(kind: &str) -> String {
    format!("invalid type: {kind}, expected a name as the key")
}

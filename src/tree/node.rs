//! The parsed document: a tree of values, each with its place in the text.
//!
//! Everything after the YAML parser works on this tree, so that any finding, made by whatever check,
//! can be reported with line and column.

use std::fmt::Write as _;

use serde_json::Value;

/// A place in the text; line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// The line.
    pub(crate) line: u32,
    /// The column.
    pub(crate) column: u32,
}

impl Mark {
    /// The beginning of the text.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// Splits a text into lines as YAML counts them: `\r` counts too.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((line, tail)) = rest.split_once(['\n', '\r']) {
        // `\r\n` is one break.
        let is_crlf = tail.starts_with('\n')
            && text.as_bytes().get(text.len() - tail.len() - 1) == Some(&b'\r');
        lines.push(line);
        rest = if is_crlf { tail.strip_prefix('\n').unwrap_or(tail) } else { tail };
    }
    lines.push(rest);
    lines
}

/// One value of the document and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where the value begins, or the first thing in it; one that is absent stands at the `:` in front.
    pub(crate) mark: Mark,
    pub(crate) value: NodeValue,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeValue {
    /// A mapping, in the order of the text, without duplicate keys.
    Map(Vec<MapEntry>),
    /// A list.
    Seq(Vec<Node>),
    /// A scalar.
    Scalar(Scalar),
    /// Stands where a problem was already reported and pretends to be whatever is wanted; the
    /// number chooses among the texts it tries.
    StandIn(usize),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MapEntry {
    pub(crate) key: String,
    pub(crate) key_mark: Mark,
    pub(crate) node: Node,
}

/// A scalar as it was written and as YAML understands it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text without quotes, after interpolation.
    pub(crate) text: String,
    pub(crate) plain: Plain,
    /// The text before interpolation, when that changed it: what messages show instead of the
    /// value, which may be a secret.
    pub(crate) template: Option<String>,
}

impl Scalar {
    /// Replaces the value where a message quotes it, if it came from the environment.
    pub(crate) fn without_secret(&self, message: String) -> String {
        match &self.template {
            Some(template) if !self.text.is_empty() => message.replace(&self.text, template),
            _ => message,
        }
    }
}

/// The YAML type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

/// Values that came from no text, all at its beginning.
impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        let mark = Mark::START;
        let (text, plain) = match value {
            Value::Object(entries) => {
                let entry = |(key, value): (&String, &Value)| {
                    let node = Self::from(value);
                    MapEntry { key: key.clone(), key_mark: mark, node }
                };
                let value = NodeValue::Map(entries.iter().map(entry).collect());
                return Self { mark, value };
            }
            Value::Array(items) => {
                return Self {
                    mark,
                    value: NodeValue::Seq(items.iter().map(Self::from).collect()),
                };
            }
            Value::Null => (String::new(), Plain::Null),
            Value::Bool(value) => (value.to_string(), Plain::Bool(*value)),
            Value::Number(number) => {
                let signed = || number.as_i64().map(Plain::Signed);
                let whole = number.as_u64().map(Plain::Unsigned).or_else(signed);
                let plain = whole.or_else(|| number.as_f64().map(Plain::Float));
                (number.to_string(), plain.unwrap_or(Plain::Text))
            }
            Value::String(text) => (text.clone(), Plain::Text),
        };
        Self { mark, value: NodeValue::Scalar(Scalar { text, plain, template: None }) }
    }
}

impl Node {
    /// Looks up a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&MapEntry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[MapEntry] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Returns the text of a scalar as messages may show it: before interpolation.
    pub(crate) fn shown_text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) => Some(scalar.template.as_deref().unwrap_or(&scalar.text)),
            _ => None,
        }
    }

    /// Whether the value is absent, like that of `sources:` at the end of a line.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar(Scalar { plain: Plain::Null, .. }))
    }

    /// Whether this value or one inside it was already reported.
    pub(crate) fn holds_stand_in(&self) -> bool {
        match &self.value {
            NodeValue::StandIn(_) => true,
            NodeValue::Scalar(_) => false,
            NodeValue::Seq(items) => items.iter().any(Self::holds_stand_in),
            NodeValue::Map(entries) => entries.iter().any(|entry| entry.node.holds_stand_in()),
        }
    }

    /// Follows one step down.
    pub(crate) fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (NodeValue::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (NodeValue::Seq(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        }
    }

    /// Follows a whole path down.
    pub(crate) fn descend_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, step| node.child_mut(step))
    }

    /// Finds the value at a path.
    pub(crate) fn descend(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key).map(|entry| &entry.node),
            Step::Index(index) => match &node.value {
                NodeValue::Seq(items) => items.get(*index),
                _ => None,
            },
        })
    }

    /// Returns the place of the scalar at a path. What has no place of its own, a mapping, a list
    /// or nothing, has that of its key, and what does not exist that of its nearest parent; `own` is
    /// the place of this value itself.
    pub(crate) fn value_mark(&self, path: &[Step], own: Mark) -> Mark {
        match self.descend(path) {
            Some(node) if matches!(node.value, NodeValue::Scalar(_)) && !node.is_null() => {
                node.mark
            }
            _ => self.key_mark(path, own),
        }
    }

    /// Returns the place of the last key of a path, or that of the nearest parent that exists.
    pub(crate) fn key_mark(&self, path: &[Step], own: Mark) -> Mark {
        let mut node = self;
        let mut mark = own;
        for step in path {
            let next = match (&node.value, step) {
                (NodeValue::Map(_), Step::Key(key)) => {
                    node.get(key).map(|entry| (entry.key_mark, &entry.node))
                }
                (NodeValue::Seq(items), Step::Index(index)) => {
                    items.get(*index).map(|item| (item.mark, item))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            (mark, node) = next;
        }
        mark
    }

    /// Returns the paths of all scalars that satisfy `wanted`, depth first.
    pub(crate) fn scalars(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Vec<Step>> {
        fn visit(
            node: &Node,
            wanted: &dyn Fn(&str) -> bool,
            path: &mut Vec<Step>,
            found: &mut Vec<Vec<Step>>,
        ) {
            let mut inside = |step: Step, child: &Node| {
                path.push(step);
                visit(child, wanted, path, found);
                path.pop();
            };
            match &node.value {
                NodeValue::Scalar(scalar) if wanted(&scalar.text) => found.push(path.clone()),
                NodeValue::Map(entries) => {
                    for entry in entries {
                        inside(Step::Key(entry.key.clone()), &entry.node);
                    }
                }
                NodeValue::Seq(items) => {
                    for (index, item) in items.iter().enumerate() {
                        inside(Step::Index(index), item);
                    }
                }
                NodeValue::Scalar(_) | NodeValue::StandIn(_) => {}
            }
        }

        let mut found = Vec::new();
        visit(self, wanted, &mut Vec::new(), &mut found);
        found
    }

    /// Finds the path of the key that stands at a place.
    pub(crate) fn path_of_key(&self, mark: Mark) -> Option<Vec<Step>> {
        let inside = |step: Step, node: &Self| {
            let path = node.path_of_key(mark)?;
            Some(std::iter::once(step).chain(path).collect())
        };
        match &self.value {
            NodeValue::Map(entries) => entries.iter().find_map(|entry| {
                let step = Step::Key(entry.key.clone());
                if entry.key_mark == mark { Some(vec![step]) } else { inside(step, &entry.node) }
            }),
            NodeValue::Seq(items) => {
                let mut items = items.iter().enumerate();
                items.find_map(|(index, item)| inside(Step::Index(index), item))
            }
            NodeValue::Scalar(_) | NodeValue::StandIn(_) => None,
        }
    }

    /// Reads a path as it is displayed, like `rules[1].attributes.host.name`, or with `rules.1`; keys
    /// with dots are told apart by what the mapping holds.
    pub(crate) fn resolve(&self, text: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let node = self.descend(&steps);
            let indexed = rest.strip_prefix('[').and_then(|tail| tail.split_once(']'));
            if let Some((index, tail)) = indexed {
                steps.push(Step::Index(index.parse().unwrap_or(usize::MAX)));
                rest = tail.strip_prefix('.').unwrap_or(tail);
                continue;
            }
            let ends_key = |tail: &str| tail.is_empty() || tail.starts_with(['.', '[']);
            let known = node.map_or(&[][..], Self::entries).iter().map(|entry| entry.key.as_str());
            let known = known.filter(|key| rest.strip_prefix(key).is_some_and(ends_key));
            let key = known
                .max_by_key(|key| key.len())
                .or_else(|| rest.split(['.', '[']).next())
                .unwrap_or(rest);
            let is_list = node.is_some_and(|node| matches!(node.value, NodeValue::Seq(_)));
            let index = key.parse().ok().filter(|_| is_list);
            steps.push(index.map_or_else(|| Step::from(key), Step::Index));
            let tail = rest.strip_prefix(key).unwrap_or_default();
            rest = tail.strip_prefix('.').unwrap_or(tail);
        }
        steps
    }
}

/// Writes a path as users read it: `sources.otlp.grpc.listen`, `sinks.out.inputs[1]`; a key that
/// holds a dot or a space is quoted.
pub(crate) fn display_path(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => {
                let _written = write!(text, "[{index}]");
            }
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if !key.is_empty() && key.chars().all(is_word) {
                    text.push_str(key);
                } else {
                    let _written = write!(text, "{key:?}");
                }
            }
        }
    }
    text
}

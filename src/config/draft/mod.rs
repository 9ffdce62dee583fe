//! The document decoded as far as possible: what later checks work on even when parts are broken.

mod default_pivot;
mod option_problems;
mod piece;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::component::AnyConfig;
use crate::component::ComponentId;
use crate::component::IdError;
use crate::component::OutputId;
use crate::component::Section;
use crate::component::find;
use crate::component::type_names;
use crate::config::decode::decode;
use crate::config::decode::describe;
use crate::config::decode::found_in;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::diagnosis::nearest;
use crate::config::document::Config;
use crate::config::document::SinkEntry;
use crate::config::document::SourceEntry;
use crate::config::document::TransformEntry;
use crate::config::sections::Settings;
use crate::config::sections::SharedOptions;
use crate::config::sections::TYPE;
use crate::config::sections::shared_options;
use crate::tree::DecodeResult;
use crate::tree::MapEntry;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::Step;
use crate::tree::TreeDeserializer;
use crate::tree::display_path;

pub(super) use piece::Piece;

/// A document in the making.
pub(super) struct Draft<'n> {
    pub(super) root: &'n Node,
    /// `None` if they could not be decoded.
    pub(super) settings: Option<Settings>,
    /// The components in the order of the text, section by section, broken ones included.
    pub(super) pieces: Vec<Piece<'n>>,
}

impl<'n> Draft<'n> {
    /// Decodes all that can be decoded of a document.
    pub(super) fn decode(root: &'n Node, findings: &mut Findings) -> Self {
        let mut draft = Self { root, settings: None, pieces: Vec::new() };
        let NodeValue::Map(entries) = &root.value else {
            let problem = Problem::WrongType {
                expected: "a mapping with `sources` and `sinks`".to_owned(),
                found: found_in(root),
            };
            findings.add(|| LocatedProblem::new(root.mark, String::new(), problem));
            return draft;
        };
        let is_section = |key: &str| Section::ALL.iter().any(|section| section.key() == key);
        let settings = entries.iter().filter(|entry| !is_section(&entry.key)).cloned().collect();
        let settings = Node { mark: root.mark, value: NodeValue::Map(settings) };
        let section_keys = Section::ALL.map(Section::key);
        draft.settings = decode_into(findings, root, &settings, &[], &section_keys, |tree| {
            Settings::deserialize(tree)
        });
        if let Some(settings) = &draft.settings {
            let values = serde_json::to_value(settings).ok();
            option_problems::add(findings, root, &[], settings.problems(), values.as_ref());
        }
        for section in Section::ALL {
            if let Some(entry) = root.get(section.key()) {
                draft.decode_section(section, entry, findings);
            }
        }
        default_pivot::set_defaults(&mut draft.pieces);
        for piece in &draft.pieces {
            if let Some(config) = &piece.config {
                let (path, values) = (piece.path(&[]), config.values());
                option_problems::add(findings, root, &path, config.problems(), values.as_ref());
            }
        }
        draft
    }

    /// Adds what is allowed, and should be known to whoever starts it.
    pub(super) fn add_warnings(&self, findings: &mut Findings) {
        for piece in &self.pieces {
            let warnings = match &piece.config {
                Some(AnyConfig::Source(config)) => config.warnings(),
                Some(AnyConfig::Sink(config)) => config.warnings(),
                Some(AnyConfig::Transform(_)) | None => continue,
            };
            option_problems::add(findings, self.root, &piece.path(&[]), warnings, None);
        }
    }

    fn decode_section(&mut self, section: Section, entry: &'n MapEntry, findings: &mut Findings) {
        match &entry.node.value {
            NodeValue::Map(components) => {
                for component in components {
                    let piece = decode_component(self.root, section, component, findings);
                    self.pieces.push(piece);
                }
            }
            NodeValue::StandIn(_) => {}
            _ if entry.node.is_null() => {}
            _ => findings.add(|| {
                let problem = Problem::WrongType {
                    expected: format!("a mapping from ids to {section}s"),
                    found: found_in(&entry.node),
                };
                LocatedProblem::new(entry.node.mark, section.key().to_owned(), problem)
                    .with_help(format!("give each {section} a name: `name: {{ type: ... }}`"))
            }),
        }
    }

    /// Makes the configuration of a draft without problems; `None` if there are some.
    pub(super) fn into_config(self) -> Option<Config> {
        let mut config = Config::from_settings(self.settings?);
        let ports: HashMap<&str, Vec<Arc<str>>> =
            self.pieces.iter().map(|piece| (piece.id, piece.ports())).collect();
        for piece in self.pieces {
            let id: ComponentId = piece.id.parse().ok()?;
            let kind = piece.kind?.to_owned();
            let SharedOptions { inputs, shed_in, buffer, formerly } = piece.shared?;
            let inputs = inputs.unwrap_or_default();
            let inputs = inputs.iter().map(|name| output(name, &ports)).collect::<Option<_>>()?;
            match piece.config? {
                AnyConfig::Source(options) => {
                    config.sources.insert(id, SourceEntry { kind, config: options });
                }
                AnyConfig::Transform(options) => {
                    let shed_in = shed_in.map(Into::into);
                    let entry = TransformEntry { kind, inputs, shed_in, buffer, config: options };
                    config.transforms.insert(id, entry);
                }
                AnyConfig::Sink(options) => {
                    let entry = SinkEntry { kind, inputs, buffer, formerly, config: options };
                    config.sinks.insert(id, entry);
                }
            }
        }
        Some(config)
    }
}

/// Finds the output that a name in `inputs` means, among components with their ports.
fn output(name: &str, ports: &HashMap<&str, Vec<Arc<str>>>) -> Option<OutputId> {
    if ports.contains_key(name) {
        return Some(OutputId::from(name.parse::<ComponentId>().ok()?));
    }
    let (id, port) = OutputId::split(name)?;
    let port = ports.get(id)?.iter().find(|known| ***known == *port)?;
    Some(OutputId { component: id.parse().ok()?, port: Some(Arc::clone(port)) })
}

/// Decodes one component as far as possible.
fn decode_component<'n>(
    root: &Node,
    section: Section,
    entry: &'n MapEntry,
    findings: &mut Findings,
) -> Piece<'n> {
    let id = entry.key.as_str();
    let mut piece = Piece { section, id, entry, kind: None, shared: None, config: None };
    let path = piece.path(&[]);
    if let Err(IdError { name, reason }) = id.parse::<ComponentId>() {
        findings.add(|| {
            let problem = Problem::BadId { name, reason };
            LocatedProblem::new(entry.key_mark, display_path(&path), problem)
                .with_help("ids look like `otlp`, `to_backend` or `eu-west.1`")
        });
    }
    let is_null = entry.node.is_null();
    let entries = match &entry.node.value {
        NodeValue::Map(entries) => entries.as_slice(),
        NodeValue::StandIn(_) => return piece,
        _ if is_null => &[],
        _ => {
            let expected = "a mapping with a `type`".to_owned();
            let problem = Problem::WrongType { expected, found: found_in(&entry.node) };
            findings.add(|| piece.finding(&[], problem));
            return piece;
        }
    };
    piece.kind = find_kind(&piece, findings);
    let shared_names = shared_options(section);
    let (shared, rest): (Vec<MapEntry>, Vec<MapEntry>) = entries
        .iter()
        .filter(|entry| entry.key != TYPE)
        .cloned()
        .partition(|entry| shared_names.contains(&entry.key.as_str()));
    let shared = Node { mark: entry.node.mark, value: NodeValue::Map(shared) };
    piece.shared =
        decode_into(findings, root, &shared, &path, &[], |tree| SharedOptions::deserialize(tree));
    if let Some(shared) = &piece.shared {
        option_problems::add(findings, root, &path, shared.buffer.problems(), None);
    }
    let Some(info) = piece.kind.and_then(|kind| find(section, kind)) else { return piece };
    let names: Vec<&str> = [TYPE].iter().chain(shared_names).copied().collect();
    let rest = Node { mark: entry.node.mark, value: NodeValue::Map(rest) };
    let unknown = |findings: &Findings| findings.means("inputs", &display_path(&path));
    piece.config = decode_into(findings, root, &rest, &path, &names, |tree| info.decode(tree));
    if unknown(findings) {
        // Its inputs stand under a misspelt name, so what it reads is unknown.
        piece.shared = None;
    }
    piece
}

/// Finds the component that `type:` names.
fn find_kind(piece: &Piece<'_>, findings: &mut Findings) -> Option<&'static str> {
    let section = piece.section;
    let names = type_names(section);
    let all = format!("{section} types");
    let at = [Step::from(TYPE)];
    let Some(type_entry) = piece.entry.node.get(TYPE) else {
        findings.add(|| {
            let problem = Problem::MissingOption { name: TYPE.to_owned() };
            piece.finding(&at, problem).with_names(None, &all, &names)
        });
        return None;
    };
    let written = match &type_entry.node.value {
        NodeValue::StandIn(_) => return None,
        NodeValue::Scalar(scalar) if !type_entry.node.is_null() => scalar.text.as_str(),
        _ => {
            findings.add(|| {
                let expected = format!("the name of a {section} type");
                let problem = Problem::WrongType { expected, found: found_in(&type_entry.node) };
                piece.finding(&at, problem).with_names(None, &all, &names)
            });
            return None;
        }
    };
    if let Some(name) = names.iter().find(|name| **name == written) {
        return Some(name);
    }
    findings.add(|| {
        let name = type_entry.node.shown_text().unwrap_or(written).to_owned();
        let finding = piece.finding(&at, Problem::UnknownType { section, name });
        let near = nearest(written, names.iter().copied());
        let mut finding = finding.with_names(near, &all, &names);
        let elsewhere = Section::ALL.iter().find(|other| type_names(**other).contains(&written));
        if let (Some(other), Some(help)) = (elsewhere, &mut finding.help) {
            *help = format!(
                "`{written}` is a {other} type and belongs under `{}`; {help}",
                other.key()
            );
        }
        finding
    });
    None
}

/// Decodes a node at a path of the document and adds its problems.
fn decode_into<T>(
    findings: &mut Findings,
    root: &Node,
    node: &Node,
    path: &[Step],
    more_names: &[&str],
    read: impl Fn(TreeDeserializer<'_>) -> DecodeResult<T>,
) -> Option<T> {
    match decode(node, read) {
        Ok(value) => Some(value),
        Err(failures) => {
            findings.touch();
            for failure in failures {
                findings.add(|| describe(root, path, more_names, failure));
            }
            None
        }
    }
}

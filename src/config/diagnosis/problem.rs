//! What can be wrong with a configuration: one problem, and the place it is found at.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::component::ComponentId;
use crate::component::Section;
use crate::tree::Mark;

/// One thing that is wrong, without its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the file: {source}")]
    Unreadable {
        /// What the operating system says.
        source: io::Error,
    },
    /// The document is longer than any sensible one.
    #[error("the document has {bytes} bytes; the limit is {max_bytes}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The text is not YAML, or uses a part of YAML that has no meaning here.
    #[error("{message}")]
    Syntax {
        /// What the parser stumbled over.
        message: String,
    },
    /// A mapping holds a key twice.
    #[error("duplicate key `{key}`; the first is on line {first_line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stands first.
        first_line: u32,
    },
    /// An interpolated variable is not set and has no default.
    #[error("the environment variable `{name}` is not set")]
    MissingVariable {
        /// The variable.
        name: String,
    },
    /// A `${...}` that cannot be understood.
    #[error("`{text}` is not a valid interpolation: {reason}")]
    BadInterpolation {
        /// The text from `${` on.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No such option.
    #[error("unknown option `{name}`")]
    UnknownOption {
        /// The name as written.
        name: String,
    },
    /// No such component.
    #[error("unknown {section} type `{name}`")]
    UnknownType {
        /// The section it stands in.
        section: Section,
        /// The name as written.
        name: String,
    },
    /// An option without a default is absent.
    #[error("the option `{name}` is missing")]
    MissingOption {
        /// The option.
        name: String,
    },
    /// A value of another type is needed.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What is needed.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A value outside of what the option allows.
    #[error("{message}")]
    InvalidValue {
        /// What is wrong with it.
        message: String,
    },
    /// A component's name breaks the rule for names.
    #[error("`{name}` is not a valid component id: {reason}")]
    BadId {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two components of different sections share a name.
    #[error("the id `{id}` is already used by a {other} on line {other_line}")]
    DuplicateId {
        /// The shared name.
        id: ComponentId,
        /// The section of the first one.
        other: Section,
        /// The line of the first one.
        other_line: u32,
    },
    /// The configuration has none of a section it needs.
    #[error("no {section} is configured; a pipeline needs at least one")]
    EmptySection {
        /// The section.
        section: Section,
    },
    /// A transform or sink reads nothing.
    #[error("the {section} `{id}` has no inputs")]
    NoInputs {
        /// What it is.
        section: Section,
        /// Its name.
        id: ComponentId,
    },
    /// An input that does not exist.
    #[error("there is no source or transform `{name}`")]
    UnknownInput {
        /// The name as written.
        name: String,
    },
    /// A transform with several outputs, named as if it had one.
    #[error("`{id}` has several outputs; name one of them")]
    WhichOutput {
        /// The transform.
        id: ComponentId,
    },
    /// An output that a transform does not have.
    #[error("the transform `{id}` has no output `{name}`")]
    UnknownOutput {
        /// The transform.
        id: ComponentId,
        /// The name as written.
        name: String,
    },
    /// An id that is the name of an output too.
    #[error("the id `{id}` is already used by an output of `{transform}`")]
    IdOfOutput {
        /// The id.
        id: ComponentId,
        /// The transform with the output.
        transform: ComponentId,
    },
    /// An input that has no output.
    #[error("`{id}` is a sink, and a sink has no output to read")]
    InputIsSink {
        /// The sink.
        id: ComponentId,
    },
    /// An input listed twice.
    #[error("`{name}` is listed twice and would be read twice")]
    DuplicateInput {
        /// The name as written.
        name: String,
    },
    /// Transforms that feed each other in a circle, of one member or more.
    #[error("the transforms form a cycle: {}", arrows(members))]
    Cycle {
        /// The members, each read by the next and the last by the first.
        members: Vec<ComponentId>,
    },
    /// What a source replays from a vault would come back to the vault.
    #[error(
        "replayed requests would return to their own vault, in an endless loop: {}",
        arrows(members)
    )]
    ReplayLoop {
        /// The members, each read by the next and the last by the first.
        members: Vec<ComponentId>,
    },
    /// A component whose output goes nowhere.
    #[error("no component reads the {section} `{id}`")]
    Unread {
        /// What it is.
        section: Section,
        /// Its name.
        id: ComponentId,
    },
    /// A vault that nothing fills and nothing reads.
    #[error(
        "no component uses the vault `{id}`: it is not a `pivot`, has no inputs and is not replayed"
    )]
    UnusedVault {
        /// Its name.
        id: ComponentId,
    },
    /// A reference to a vault that does not exist.
    #[error("there is no vault `{name}`")]
    UnknownVault {
        /// The name as written.
        name: String,
    },
    /// A reference to a vault that names something else.
    #[error("`{id}` is a {section} of type `{kind}`, not a vault")]
    NotAVault {
        /// The name as written.
        id: ComponentId,
        /// What it is.
        section: Section,
        /// Its type.
        kind: String,
    },
    /// Two listeners on one port.
    #[error("{address} is already used: `{other}` listens on {other_address}")]
    PortConflict {
        /// The address of the second.
        address: SocketAddr,
        /// The path of the first.
        other: String,
        /// The address of the first.
        other_address: SocketAddr,
    },
    /// Two components in one directory, or one inside the other's.
    #[error("`{}` is already used: `{other}` owns `{}`", path.display(), other_path.display())]
    PathConflict {
        /// The path of the second.
        path: PathBuf,
        /// The path (in the document) of the first.
        other: String,
        /// The path of the first.
        other_path: PathBuf,
    },
}

/// A problem at a path, before the text around it is known.
#[derive(Debug)]
pub(in crate::config) struct LocatedProblem {
    pub(in crate::config) mark: Mark,
    pub(in crate::config) path: String,
    pub(in crate::config) problem: Problem,
    pub(in crate::config) nearest: Option<String>,
    pub(in crate::config) help: Option<String>,
}

impl LocatedProblem {
    /// Makes a finding without remedy.
    pub(in crate::config) fn new(mark: Mark, path: String, problem: Problem) -> Self {
        Self { mark, path, problem, nearest: None, help: None }
    }

    /// Adds a remedy.
    pub(in crate::config) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the nearest valid name, if there is one, and the list of all.
    pub(in crate::config) fn with_names(
        mut self,
        nearest: Option<&str>,
        all: &str,
        names: &[&str],
    ) -> Self {
        let mut help = nearest.map_or_else(String::new, |name| format!("did you mean `{name}`?"));
        if !names.is_empty() {
            let space = if help.is_empty() { "" } else { " " };
            help = format!("{help}{space}{all}: {}", names.join(", "));
        }
        self.nearest = nearest.map(str::to_owned);
        self.help = (!help.is_empty()).then_some(help);
        self
    }
}

/// Writes a circle of components as arrows that come back to the first.
fn arrows(members: &[ComponentId]) -> String {
    let names = members.iter().chain(members.first());
    names.map(ComponentId::as_str).collect::<Vec<_>>().join(" -> ")
}

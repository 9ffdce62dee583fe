//! The seams between the document and the components: a component is its options and a `build`.
//!
//! A component is one struct of options that implements one of the three traits below, plus one
//! [`ComponentInfo`](crate::component::ComponentInfo) submitted for the registry. The struct derives `Serialize`, `Deserialize` and `JsonSchema` with
//! `#[serde(deny_unknown_fields)]`; it does not declare the options that all components of a
//! section share (`type`, `inputs`, `shed_in`, `buffer`), nor `#[serde(flatten)]`, which would
//! cost its errors their places.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::component::context::Context;
use crate::component::error::BuildError;
use crate::component::files::NamedFile;
use crate::component::replays::ArchiveLocation;
use crate::component::running::Sink;
use crate::component::running::Source;
use crate::component::running::Transform;

/// Something of the machine that only one component can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A TCP address listened on. Port 0 is any free port and never conflicts.
    Tcp(SocketAddr),
    /// A directory written to, with everything in it.
    Directory(PathBuf),
    /// A file written to.
    File(PathBuf),
}

/// Where a component stands, for defaults that depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The id of the component.
    pub id: &'a str,
    /// The directory for everything the process keeps.
    pub data_dir: &'a Path,
}

/// Something wrong with an option that its type could not express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option inside the component, like `patience` or `grpc.tls.cert`; empty for the whole.
    pub path: String,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// What to do about it. Not shown for a value out of the environment, of which it may quote a part.
    pub help: Option<String>,
}

impl OptionProblem {
    /// Makes the problem of an option.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Options as values, to show and to compare them. Every type that serde can write has it.
pub trait OptionValues {
    /// Returns the value of every option, defaults included; `None` if one has no form in JSON.
    fn values(&self) -> Option<Value>;
}

impl<C: Serialize> OptionValues for C {
    fn values(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// The options of a source, which brings data in.
#[async_trait]
pub trait SourceConfig: OptionValues + Debug + Send + Sync {
    /// Returns what the source needs for itself alone.
    fn resources(&self, _site: &Site<'_>) -> Vec<Resource> {
        Vec::new()
    }

    /// Returns the vault that takes over under pressure, if one does.
    fn pivot(&self) -> Option<&str> {
        None
    }

    /// Whether a vault could take over, and the options do not say which.
    fn wants_pivot(&self) -> bool {
        false
    }

    /// Told before anything else of the vault that is the only one it could be: a source that names none
    /// pivots to it.
    fn pivot_by_default(&mut self, _vault: &str) {}

    /// Returns the vault that the source reads, if it reads one.
    fn replays(&self) -> Option<&str> {
        None
    }

    /// Returns the headers of requests that the source keeps beside them; `None` if it receives no requests with
    /// headers.
    fn kept_headers(&self) -> Option<&[String]> {
        None
    }

    /// Returns the vault whose dead-letter store gets what a sink refuses for good, if options name one.
    fn dead_letters(&self) -> Option<&str> {
        None
    }

    /// Returns the archive that the source reads, if it reads one.
    fn archive(&self) -> Option<ArchiveLocation> {
        None
    }

    /// Whether everything goes through the pivot first, so that nobody needs to read the source.
    fn is_journaled(&self) -> bool {
        false
    }

    /// Returns the memory that the source may use beside the memory budget, in bytes.
    fn beside_budget_bytes(&self) -> u64 {
        0
    }

    /// How many connections it accepts at the same time: each is a file descriptor.
    fn connections_max(&self) -> u64 {
        0
    }

    /// Returns the files that options name and `build` reads. A reload builds the component anew if one
    /// of them changed, unless the component follows that one itself.
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }

    /// Returns what is wrong with the options beyond their types; pure, without any I/O.
    fn problems(&self) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Returns what is allowed, and should be known to whoever starts it; pure, without any I/O.
    fn warnings(&self) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Builds the running source; nothing is spawned yet.
    ///
    /// # Errors
    ///
    /// Whatever cannot be had: a port, a certificate, a directory.
    async fn build(&self, context: &Context) -> Result<Box<dyn Source>, BuildError>;
}

/// The options of a transform, which changes data on its way.
pub trait TransformConfig: OptionValues + Debug + Send + Sync {
    /// Returns the names of the outputs, if there are several: each is read by itself, as
    /// `transform.output`. Without any, the transform has one output, which is read by its id.
    fn ports(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// Says what the transform keeps from getting out, if that is what it is for, like "personal data".
    /// Such a transform must not be passed by: it cannot be left out under pressure, and what is sent
    /// past it is told.
    fn protects(&self) -> Option<&'static str> {
        None
    }

    /// Returns the files that options name and `build` reads. A reload builds the component anew if one
    /// of them changed, unless the component follows that one itself.
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }

    /// Returns what is wrong with the options beyond their types; pure, without any I/O.
    fn problems(&self) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Builds the running transform.
    ///
    /// # Errors
    ///
    /// Whatever cannot be had, like the file of a lookup table.
    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError>;
}

/// The options of a sink, which takes data out.
#[async_trait]
pub trait SinkConfig: OptionValues + Debug + Send + Sync {
    /// Returns what the sink needs for itself alone.
    fn resources(&self, _site: &Site<'_>) -> Vec<Resource> {
        Vec::new()
    }

    /// Whether the sink is a vault: something a source can pivot to and replay from. A vault may
    /// have no inputs.
    fn is_vault(&self) -> bool {
        false
    }

    /// Returns the headers that the sink sends on as they came.
    fn forwarded_headers(&self) -> &[String] {
        &[]
    }

    /// Returns the vault whose segments the sink copies, if it copies one. Such a sink has no inputs.
    fn copies(&self) -> Option<&str> {
        None
    }

    /// Returns the directory of the vault in which the sink keeps what it has acknowledged, if it has one.
    fn spool(&self, _site: &Site<'_>) -> Option<PathBuf> {
        None
    }

    /// Returns the archive that the sink writes, if it copies the segments of a vault.
    fn archive(&self) -> Option<ArchiveLocation> {
        None
    }

    /// Whether the sink is a vault that is to be replayed even if nobody says so.
    fn is_replayed_by_default(&self) -> bool {
        false
    }

    /// Returns the memory that the sink may use beside the memory budget, in bytes.
    fn beside_budget_bytes(&self) -> u64 {
        0
    }

    /// How many file descriptors it has open at the same time: files and outgoing connections.
    fn descriptors_max(&self) -> u64 {
        4
    }

    /// Returns the files that options name and `build` reads. A reload builds the component anew if one
    /// of them changed, unless the component follows that one itself.
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }

    /// Returns what is wrong with the options beyond their types; pure, without any I/O.
    fn problems(&self) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Returns what is allowed, and should be known to whoever starts it; pure, without any I/O.
    fn warnings(&self) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Builds the running sink; nothing is spawned yet.
    ///
    /// # Errors
    ///
    /// Whatever cannot be had: a directory, a certificate, an address.
    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError>;
}

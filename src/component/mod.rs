//! What a component is: its options, its running half, and what the process gives it.
//!
//! ```text
//!  options --build(Context)--> running half --run--> Result<(), RunError>
//! ```
//!
//! | to find | look into |
//! |---|---|
//! | what a component implements | `options.rs`, `running.rs` |
//! | what it is given when it is built | `context.rs` |
//! | how it fails | `error.rs` |
//! | its names: of itself, of its outputs, of its type | `id.rs`, `output.rs`, `registry.rs` |
//! | sockets and connections that outlive it | `listeners.rs`, `connections.rs` |
//! | open vaults, the places of sinks in them, dead letters | `vaults.rs`, `cursors/`, `dead_letters/` |
//! | replays that an operator asks for, of a vault or an archive | `replays/` |
//! | what all replays do alike | `replaying.rs` |
//! | types of options that several components have | `option_types/` |
//!
//! It does not know the document that options stand in: components and configuration meet here, and
//! neither imports the other.

mod connections;
mod context;
mod cursors;
mod dead_letters;
mod error;
mod files;
mod id;
mod listeners;
mod option_types;
mod options;
mod output;
mod registry;
mod replaying;
mod replays;
mod running;
mod vaults;

pub use connections::Admitted;
pub use connections::Connections;
pub use context::Context;
pub use cursors::CursorOwner;
pub use cursors::Heir;
pub use cursors::SinkCursors;
pub use cursors::StaleCursor;
pub use cursors::copy_cursor_name;
pub use dead_letters::AttachedReplay;
pub use dead_letters::DeadLetters;
pub use dead_letters::DropTurn;
pub use dead_letters::Letter;
pub use dead_letters::LetterError;
pub use dead_letters::LetterScan;
pub use dead_letters::LetterSelection;
pub use dead_letters::LetterStore;
pub use dead_letters::LetterTotals;
pub use dead_letters::LetterWalk;
pub use dead_letters::RedriveOrder;
pub use dead_letters::RedriveProgress;
pub use dead_letters::RedriveRefusal;
pub use dead_letters::RedriveTurn;
pub use error::BuildError;
pub use error::RunError;
pub use files::FileStamp;
pub use files::FileStamps;
pub use files::NamedFile;
pub use files::try_open;
pub use id::ComponentId;
pub use id::IdError;
pub use listeners::Listeners;
pub use option_types::AttributeLevel;
pub use option_types::Condition;
pub use option_types::PivotOption;
pub use option_types::Secret;
pub use option_types::Severity;
pub use option_types::SignalName;
pub use option_types::SpanStatus;
pub use option_types::parse_listen;
pub use option_types::read_listen;
pub use options::OptionProblem;
pub use options::OptionValues;
pub use options::Resource;
pub use options::SinkConfig;
pub use options::Site;
pub use options::SourceConfig;
pub use options::TransformConfig;
pub use output::OutputId;
pub(crate) use registry::AnyConfig;
pub use registry::ComponentInfo;
pub use registry::Section;
pub(crate) use registry::find;
pub use registry::list;
pub(crate) use registry::type_names;
pub use replaying::calm;
pub use replaying::send_unless_stopped;
pub use replaying::stopped_for_long;
pub use replays::ArchiveLocation;
pub use replays::JobCounts;
pub use replays::JobEnd;
pub use replays::RangeError;
pub use replays::RangeReader;
pub use replays::ReplayJob;
pub use replays::ReplayJobs;
pub use replays::ReplayRange;
pub use replays::ReplayRegistration;
pub use replays::ReplayStartError;
pub use replays::RestoreRoom;
pub use replays::count_range;
pub use running::NOTED_BYTES;
pub use running::Sink;
pub use running::Source;
pub use running::Stop;
pub use running::Transform;
pub use vaults::Inherited;
pub use vaults::OnLoss;
pub use vaults::VaultHandle;
pub use vaults::Vaults;

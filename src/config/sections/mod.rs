//! The options of the document that are not a component's own: its other sections, and what all
//! components of a section share.

mod common;
mod control;
mod listen;
mod memory;
mod settings;
mod somatic;
mod testing;

pub(super) use common::SharedOptions;
pub(super) use common::TYPE;
pub(super) use common::shared_options;
pub use control::AuditConfig;
pub use control::ControlConfig;
pub use control::Role;
pub use control::RoleRule;
pub use control::SOCKET_PATH_LEN_MAX;
pub use memory::MemoryConfig;
pub use memory::MemoryShares;
pub use settings::BufferConfig;
pub use settings::CONTROL_SOCKET;
pub use settings::MetricsConfig;
pub use settings::PageMode;
pub(super) use settings::Settings;
pub use settings::ShutdownConfig;
pub use somatic::SomaticConfig;
pub use somatic::Watermarks;
pub use testing::TestCase;
pub use testing::TestRecord;

//! The wire view of OTLP: requests are checked, counted, edited, filtered and converted as the
//! bytes they came in.
//!
//! * [`prescan`] validates and counts in one pass; every request goes through it.
//! * [`salvage`] takes the malformed records out of a request that is refused otherwise.
//! * [`inspect`] bounds what decoding costs.
//! * [`Editor`] changes attributes, [`Rewriter`] texts, [`retain`] drops records, all without
//!   decoding.
//! * [`merge`] makes one request of several, [`Parts`] several of one, [`group`] one for each kind of
//!   resource.
//! * [`decode`] gives the typed form to whoever needs it.
//! * [`read_json`], [`json_to_wire`] and [`wire_to_json`] convert from and to the JSON form; a [`JsonLine`] is
//!   written in pieces.
//! * [`glance`] shows what to say of each record in a line.
//! * [`demo`] makes requests for demonstrations and tests.
//!
//! The shape of a request is the same for all signals:
//!
//! ```text
//! request
//! +- 1 resource container  (resource_logs, resource_spans, resource_metrics)
//!    +- 1 resource         1 attributes
//!    +- 2 scope container  (scope_logs, scope_spans, scope_metrics)
//!    |  +- 1 scope         1 name   3 attributes
//!    |  +- 2 log record    6 attributes
//!    |     2 span          9 attributes
//!    |     2 metric        5 gauge  7 sum  9 histogram  10 exponential histogram  11 summary
//!    |        +- 1 data point
//!    |  +- 3 schema url
//!    +- 3 schema url
//! ```

mod attributes;
mod check;
mod decode;
pub mod demo;
mod edit;
mod editor;
mod error;
mod glance;
mod group;
mod inspect;
mod json;
mod leaves;
mod locate;
mod merge;
mod part;
mod patch;
mod prescan;
mod retain;
mod rewrite;
mod salvage;
mod schema;
pub mod scratch;
mod signal;
mod unknown;
mod value;
mod view;
mod wire;

#[cfg(any(test, feature = "samples"))]
pub mod samples;
#[cfg(test)]
mod tests;

pub use decode::Decoded;
pub use decode::decode;
pub use edit::Edit;
pub use edit::EditOperation;
pub use edit::Level;
pub use edit::Table;
pub use editor::Editor;
pub use error::WireError;
pub use error::WireFaultKind;
pub use glance::BodyView;
pub use glance::Glance;
pub use glance::glance;
pub use group::Group;
pub use group::Grouped;
pub use group::ResourceView;
pub use group::group;
pub use inspect::DecodeLimits;
pub use inspect::inspect;
pub use json::FromJson;
pub use json::JsonLine;
pub use json::json_to_wire;
pub use json::read_json;
pub use json::salvage_json;
pub use json::wire_to_json;
pub use leaves::leaves;
pub use merge::MergeLimits;
pub use merge::merge;
pub use part::Part;
pub use part::Parts;
pub use prescan::Summary;
pub use prescan::prescan;
pub use prescan::prescan_envelope;
pub use retain::Retained;
pub use retain::Reviser;
pub use retain::Revision;
pub use retain::retain;
pub use rewrite::Fate;
pub use rewrite::Position;
pub use rewrite::Rewrite;
pub use rewrite::Rewriter;
pub use salvage::Salvaged;
pub use salvage::salvage;
pub use signal::Signal;
pub use signal::UnknownSignal;
pub use unknown::unknown_field;
pub use value::AnyValueView;
pub use value::Value;
pub use view::RecordView;

//! A document as a tree of values, each with its place in the text, and serde's view of it.
//!
//! | to find | look into |
//! |---|---|
//! | the tree and the places of its values | `node.rs` |
//! | what serde sees of a value | `deserializer.rs`, `scalar.rs`, `name.rs` |
//! | what it sees of a value that was reported already | `stand_in.rs` |
//! | what a decoder complains about, and the path of it | `failure.rs`, `trace.rs` |
//!
//! It knows neither YAML, which `config` parses into such a tree, nor the options that are decoded from it.

mod deserializer;
mod failure;
mod name;
mod node;
mod scalar;
mod stand_in;
mod trace;

pub(crate) use deserializer::TreeDeserializer;
pub(crate) use failure::DecodeResult;
pub(crate) use failure::Failure;
pub(crate) use failure::FailureKind;
pub(crate) use node::MapEntry;
pub(crate) use node::Mark;
pub(crate) use node::Node;
pub(crate) use node::NodeValue;
pub(crate) use node::Plain;
pub(crate) use node::Scalar;
pub(crate) use node::Step;
pub(crate) use node::display_path;
pub(crate) use node::lines;
pub(crate) use stand_in::STAND_IN_TEXTS;
pub(crate) use trace::Trace;
pub(crate) use trace::Trail;

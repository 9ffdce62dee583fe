//! The JSON form of OTLP requests.
//!
//! Both directions follow the schema table and go straight from one form to the other; nothing is
//! decoded in between. The OTLP mapping differs from the general one of protobuf: trace and span
//! ids are hexadecimal, enumerations are written as numbers, keys are lowerCamelCase only, and unknown
//! keys are ignored.
//!
//! Source: opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding".

mod convert;
mod count;
mod enumerations;
mod key;
mod measure;
mod mend;
mod place;
mod read;
mod reading;
mod stream;
mod text;
mod walk;
mod write;

pub use convert::FromJson;
pub use convert::json_to_wire;
pub use convert::read_json;
pub use convert::salvage_json;
pub use write::JsonLine;
pub use write::wire_to_json;
pub(super) use write::write_value;

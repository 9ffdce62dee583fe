//! The client of a bucket against a real server that fails as told.
//!
//! | file | what it proves |
//! |---|---|
//! | `objects` | objects are written, read, listed and deleted, and conditions hold |
//! | `headers` | options become the headers of S3, in one request and in parts |
//! | `parts` | uploads in parts: bytes, checksums, conditions, and nothing left behind |
//! | `pace` | uploads keep to a pace, piece by piece |
//! | `faults` | every fault of a server is an error by what the caller can do |
//! | `credentials` | where credentials come from, each in a process of its own |
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

mod credentials;
mod faults;
mod fixture;
mod headers;
mod objects;
mod pace;
mod parts;

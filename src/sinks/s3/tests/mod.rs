//! The sink against a bucket that fails: every segment becomes one object and one manifest, whatever happens.

mod archive;
mod backlog;
mod faults;
mod pace;
mod rig;

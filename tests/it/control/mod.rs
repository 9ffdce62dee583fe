//! The control port: mutual TLS, roles, the audit log, and what stands beside the service; the page for people;
//! and what operators do with vaults, replays and a drain.

mod archive_replays;
mod authority;
mod commands;
mod drain;
mod every_figure;
mod figures;
mod page;
mod port;
mod refused;
mod renewed;
mod replays;
mod roles;
mod status_page;
mod tap;
mod top;
mod unread;
mod vaults;

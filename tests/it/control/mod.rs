//! The control port: mutual TLS, roles, the audit log, and what stands beside the service; the page for people.

mod authority;
mod commands;
mod figures;
mod page;
mod port;
mod refused;
mod renewed;
mod roles;
mod status_page;
mod tap;
mod top;
mod unread;

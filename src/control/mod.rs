//! The management plane: a unix socket and a port with mutual TLS for `gs-ctl`, and HTTP for metrics and
//! health.
//!
//! It reads snapshots and gives commands; nothing in the data plane knows who asks.
//!
//! ```text
//!   socket, remote    who connects: a user of this host, or the owner of a certificate
//!    `- connection    HTTP/2 with limits; a client that takes no answers is cut off (`unsent`)
//!        `- gate      let in or refused, by method and role (`access`), before the message is read
//!            `- service, status, tap, vaults, dead_letters, probe    the answers; a change goes into the audit log (`audit`)
//!                `- vault_*, drain, replays    the changes that take longer (`changes`)
//!   scrape            `/metrics`, `/healthz`, `/readyz`, and the page for people (`page`)
//! ```

mod access;
mod audit;
mod certificate_names;
mod certificates;
mod changes;
mod clients;
mod connection;
mod dead_letters;
mod drain;
mod draining;
mod gate;
mod history;
mod live;
mod maintenance;
mod orders;
mod page;
mod probe;
mod readiness;
mod remote;
mod replay_choice;
mod replays;
mod sampling;
mod scrape;
mod service;
mod socket;
mod state;
mod status;
mod tap;
mod tap_filter;
mod unsent;
mod vault_holds;
mod vault_prune;
mod vault_verify;
mod vaults;
mod zone_events;
mod zone_override;

pub use access::AccessRules;
pub use audit::AuditLog;
pub use gate::Gate;
pub use history::History;
pub use maintenance::Maintenance;
pub use orders::ORDERS_MAX;
pub use orders::Order;
pub use orders::Orders;
pub use orders::Reloaded;
pub use remote::ControlPort;
pub use remote::ControlPortError;
pub use remote::PortCertificates;
pub use scrape::Scrape;
pub use socket::ControlSocket;
pub use state::ControlService;
pub use state::LastReload;
pub use state::LeftVault;

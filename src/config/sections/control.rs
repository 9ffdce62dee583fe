//! The options of the management service: where it listens, and who may do what.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::path::PathBuf;

use gophership_units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::OptionProblem;
use crate::config::sections::listen;
use crate::tls::MutualTls;

/// What the address of a unix socket can hold, in bytes; the system keeps one for its end.
pub const SOCKET_PATH_LEN_MAX: usize = 107;
/// More rules are not looked through for each request.
const ROLES_MAX: usize = 1024;
/// A smaller file would be rotated all the time.
const AUDIT_BYTES_MIN: u64 = 64 << 10;
/// Of the audit log, the file in use included.
const AUDIT_FILES_MAX: u32 = 100;

/// The management service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// The unix socket for `gs-ctl`; by default `control.sock` in `data_dir`. Its path has at most
    /// 107 bytes. The file mode is 0600; with a `uid` in `roles` it is 0666, and GopherShip checks
    /// the user of each connection.
    pub socket: Option<PathBuf>,
    /// The TCP address for `gs-ctl` on other hosts, such as `0.0.0.0:9092`; by default GopherShip
    /// does not listen. It requires `tls`.
    #[serde(deserialize_with = "listen::read_optional")]
    pub listen: Option<SocketAddr>,
    /// The certificates for `listen`. TLS 1.3 only; each client must present a certificate.
    /// GopherShip reads the files again on SIGHUP and when they change, and keeps the old ones if
    /// the new ones cannot be used.
    pub tls: Option<MutualTls>,
    /// The roles of clients; the first rule that matches decides. Without a matching rule a client
    /// certificate is a viewer, on the socket root and the user that runs GopherShip are
    /// operators, and other users are refused.
    pub roles: Vec<RoleRule>,
    /// The audit log `audit.log` in `data_dir`: a JSON object for every change and every refusal.
    pub audit: AuditConfig,
}

/// A role, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// The role.
    pub role: Role,
    /// The common name in the subject of the client certificate.
    #[serde(default)]
    pub cn: Option<String>,
    /// A DNS name or URI in the subject alternative names of the client certificate.
    #[serde(default)]
    pub san: Option<String>,
    /// The user id of a client on the unix socket.
    #[serde(default)]
    pub uid: Option<u32>,
}

/// What a client of the management service may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May see everything, and change nothing.
    Viewer,
    /// May see and change everything.
    Operator,
}

impl Role {
    /// Its name, as in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// The audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The size at which GopherShip begins a new file, at least 64KiB. Takes effect at the next
    /// start.
    pub max_size: ByteSize,
    /// The maximum number of files, up to 100: `audit.log` and the older `audit.log.1`,
    /// `audit.log.2` and so on. Takes effect at the next start.
    pub files: NonZeroU32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { max_size: ByteSize::mib(16), files: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN) }
    }
}

impl ControlConfig {
    /// Returns what is wrong beyond types; `default_socket` is used without `socket`.
    pub(in crate::config) fn problems(&self, default_socket: &Path) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.listen.is_some() && self.tls.is_none() {
            let message = "requires control.tls: GopherShip takes no commands without certificates";
            problems.push(
                OptionProblem::new("control.listen", message)
                    .with_help("`gs-ctl certs init` makes certificates"),
            );
        }
        let (option, socket) = match &self.socket {
            Some(socket) => ("control.socket", socket.as_path()),
            None => ("data_dir", default_socket),
        };
        let len = socket.as_os_str().len();
        if SOCKET_PATH_LEN_MAX < len {
            let message = format!(
                "the path of the control socket has {len} bytes, and the system allows \
                 {SOCKET_PATH_LEN_MAX}"
            );
            let help = "set control.socket to a shorter path, such as /run/gophership/control.sock";
            problems.push(OptionProblem::new(option, message).with_help(help));
        }
        if ROLES_MAX < self.roles.len() {
            let message = format!("has more than {ROLES_MAX} rules");
            problems.push(OptionProblem::new("control.roles", message));
        }
        for (idx, rule) in self.roles.iter().enumerate() {
            let given = [rule.cn.is_some(), rule.san.is_some(), rule.uid.is_some()];
            if given.into_iter().filter(|is_given| *is_given).count() != 1 {
                let message = "needs exactly one of cn, san and uid";
                problems.push(OptionProblem::new(format!("control.roles.{idx}"), message));
            }
        }
        if self.audit.max_size.bytes() < AUDIT_BYTES_MIN {
            problems.push(OptionProblem::new("control.audit.max_size", "must be at least 64KiB"));
        }
        if AUDIT_FILES_MAX < self.audit.files.get() {
            problems.push(OptionProblem::new("control.audit.files", "must be from 1 to 100"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;

    fn problem(text: &str) -> String {
        let rest = "sources: { s: { type: demo } }\nsinks: { b: { type: blackhole, inputs: [s] } }";
        let text = format!("{text}\n{rest}");
        load_text("control.yaml", &text, &|_| None).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_the_types_allow_and_the_service_does_not_is_found() {
        let long = "d/".repeat(60);
        for (text, words) in [
            ("control: { listen: '127.0.0.1:0' }".to_owned(), ["control.listen", "control.tls"]),
            (format!("data_dir: {long}"), ["data_dir", "set control.socket"]),
            (format!("control: {{ socket: {long}s }}"), ["control.socket", "allows 107"]),
            ("control: { roles: [{ role: viewer }] }".to_owned(), ["roles", "exactly one"]),
            (
                "control: { roles: [{ role: operator, cn: a, uid: 1 }] }".to_owned(),
                ["roles", "exactly one"],
            ),
            ("control: { roles: [{ role: root, cn: a }] }".to_owned(), ["role", "operator"]),
            ("control: { audit: { max_size: 1KiB } }".to_owned(), ["audit", "64KiB"]),
            ("control: { audit: { files: 101 } }".to_owned(), ["audit", "100"]),
        ] {
            let said = problem(&text);
            assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
        }
    }
}

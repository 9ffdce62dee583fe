//! Who asks, and what he may do.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tonic::Request;
use tonic::Status;

use super::certificate_names::CertificateNames;
use crate::config::Role;
use crate::config::RoleRule;

/// What a client has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A process of this host, as the system says.
    User {
        /// Its user.
        uid: u32,
    },
    /// The owner of a certificate that was verified.
    Certificate(CertificateNames),
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { uid } => write!(formatter, "uid {uid}"),
            Self::Certificate(names) => match (&names.cn, names.sans.first()) {
                (Some(cn), _) => write!(formatter, "cn {cn}"),
                (None, Some(san)) => write!(formatter, "san {san}"),
                (None, None) => formatter.write_str("a certificate without a name"),
            },
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Who it is.
    pub(super) identity: Identity,
    /// From where it came: an address, or a process of this host.
    pub(super) from: String,
}

/// Who sent a request, and as what.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The other end of its connection.
    pub(super) peer: Arc<Peer>,
    /// The role when the request came.
    pub(super) role: Role,
}

impl Caller {
    /// The one who sent `request`.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Status::internal("the sender of the request is not known"))
    }
}

/// The rules in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessRules {
    rules: Arc<ArcSwap<Vec<RoleRule>>>,
    /// The user that runs this process.
    own_uid: u32,
}

impl Default for AccessRules {
    fn default() -> Self {
        let own_uid = rustix::process::geteuid().as_raw();
        Self { rules: Arc::default(), own_uid }
    }
}

impl AccessRules {
    /// Puts rules in force; they count from the next request.
    pub fn configure(&self, rules: &[RoleRule]) {
        self.rules.store(Arc::new(rules.to_vec()));
    }

    /// Whether a rule names a user, so that others than our own may connect.
    pub(super) fn has_users(&self) -> bool {
        self.rules.load().iter().any(|rule| rule.uid.is_some())
    }

    /// What a client may do; `None`: nothing at all.
    pub(super) fn role(&self, identity: &Identity) -> Option<Role> {
        let rules = self.rules.load();
        let named = rules.iter().find(|rule| is_named(rule, identity)).map(|rule| rule.role);
        named.or(match identity {
            Identity::User { uid } => (*uid == self.own_uid || *uid == 0).then_some(Role::Operator),
            Identity::Certificate(_) => Some(Role::Viewer),
        })
    }
}

fn is_named(rule: &RoleRule, identity: &Identity) -> bool {
    match identity {
        Identity::User { uid } => rule.uid == Some(*uid),
        Identity::Certificate(names) => {
            let is_cn = rule.cn.is_some() && rule.cn == names.cn;
            is_cn || rule.san.as_ref().is_some_and(|san| names.sans.contains(san))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(role: Role) -> RoleRule {
        RoleRule { role, cn: None, san: None, uid: None }
    }

    fn certificate(cn: Option<&str>, sans: &[&str]) -> Identity {
        let sans = sans.iter().map(|san| (*san).to_owned()).collect();
        Identity::Certificate(CertificateNames { cn: cn.map(str::to_owned), sans })
    }

    #[test]
    fn without_rules_certificates_see_and_our_own_users_change() {
        let access = AccessRules { own_uid: 500, ..AccessRules::default() };
        let user = |uid| Identity::User { uid };
        assert_eq!(access.role(&user(500)), Some(Role::Operator));
        assert_eq!(access.role(&user(0)), Some(Role::Operator));
        assert_eq!(access.role(&user(501)), None);
        assert_eq!(access.role(&certificate(Some("alice"), &[])), Some(Role::Viewer));
        assert_eq!(access.role(&certificate(None, &[])), Some(Role::Viewer));
    }

    #[test]
    fn the_first_rule_that_names_a_client_decides() {
        let access = AccessRules { own_uid: 500, ..AccessRules::default() };
        access.configure(&[
            RoleRule { uid: Some(501), ..rule(Role::Viewer) },
            RoleRule { uid: Some(500), ..rule(Role::Viewer) },
            RoleRule { cn: Some("alice".to_owned()), ..rule(Role::Operator) },
            RoleRule { san: Some("spiffe://x/ops".to_owned()), ..rule(Role::Operator) },
            RoleRule { cn: Some("alice".to_owned()), ..rule(Role::Viewer) },
        ]);
        let user = |uid| Identity::User { uid };
        assert_eq!(access.role(&user(501)), Some(Role::Viewer));
        assert_eq!(access.role(&user(500)), Some(Role::Viewer));
        assert_eq!(access.role(&user(0)), Some(Role::Operator));
        assert_eq!(access.role(&certificate(Some("alice"), &[])), Some(Role::Operator));
        assert_eq!(access.role(&certificate(Some("Alice"), &[])), Some(Role::Viewer));
        assert_eq!(access.role(&certificate(None, &["spiffe://x/ops"])), Some(Role::Operator));
        assert_eq!(access.role(&certificate(None, &["alice"])), Some(Role::Viewer));
    }
}

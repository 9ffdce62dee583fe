//! The way into the service: each request is let in or refused by its method and the role of its sender,
//! before a byte of its message is read.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gophership_control::DESCRIPTORS;
use gophership_control::proto::control_server::ControlServer;
use gophership_control::proto::control_server::SERVICE_NAME;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTORS;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tonic_reflection::server::Error;

use super::access::AccessRules;
use super::access::Caller;
use super::access::Peer;
use super::audit::AuditLog;
use super::probe::Probe;
use super::state::ControlService;
use crate::config::Role;

/// A request has names, numbers and a reason.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The methods of the service that change nothing and show nothing that senders sent. Whatever is not listed is for operators, so a method that
/// was forgotten here is refused to viewers.
const VIEWS: [&str; 12] = [
    "Status",
    "Share",
    "Watch",
    "DiffConfig",
    "ShowConfig",
    "ListVaults",
    "ListFlights",
    "ShowFlight",
    "VerifyVault",
    "CountReplay",
    "ListReplays",
    "ListDeadLetters",
];

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Serve = Box<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// The services behind it, and who may use them.
pub struct Gate {
    /// The name of each service, and the service.
    services: Vec<(&'static str, Serve)>,
    pub(super) access: AccessRules,
    pub(super) audit: AuditLog,
}

impl Gate {
    /// Puts the gate in front of the service.
    ///
    /// # Errors
    ///
    /// When the committed description of the service cannot be read.
    pub fn new(
        service: ControlService,
        access: AccessRules,
        audit: AuditLog,
    ) -> Result<Self, Error> {
        let probe = HealthServer::new(Probe::new(&service));
        let described = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(HEALTH_DESCRIPTORS)
        };
        let control = ControlServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let services = vec![
            entry(control),
            entry(probe),
            entry(described().build_v1()?),
            entry(described().build_v1alpha()?),
        ];
        Ok(Self { services, access, audit })
    }

    /// Answers a request of `peer`, or refuses it.
    pub(super) async fn answer(
        &self,
        peer: Arc<Peer>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let (service, method) = parts(&path);
        let Some(role) = self.access.role(&peer.identity) else {
            return self.refuse(&peer, method, "no role: control.roles does not name this client");
        };
        if needed(service, method) > role {
            return self.refuse(
                &peer,
                method,
                "the role viewer may not change anything or tap requests",
            );
        }
        let Some((_, serve)) = self.services.iter().find(|(name, _)| *name == service) else {
            return Status::unimplemented("unknown service").into_http();
        };
        request.extensions_mut().insert(Caller { peer, role });
        serve(request).await
    }

    fn refuse(&self, peer: &Peer, method: &str, outcome: &str) -> Response<Body> {
        self.audit.refuse(peer, method, outcome);
        let who = &peer.identity;
        Status::permission_denied(format!("{who}: {outcome}")).into_http()
    }
}

/// Splits `/service/method`.
fn parts(path: &str) -> (&str, &str) {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or(("", path))
}

/// The role that a method needs.
fn needed(service: &str, method: &str) -> Role {
    // Those that stand beside the service itself only tell.
    if service == SERVICE_NAME && !VIEWS.contains(&method) { Role::Operator } else { Role::Viewer }
}

fn entry<S>(service: S) -> (&'static str, Serve)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let serve = move |request| -> Answer {
        let answer = service.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    };
    (S::NAME, Box::new(serve))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use prost_types::MethodDescriptorProto;

    use super::*;

    /// The methods of the service that change something, or show what senders sent.
    const CHANGES: [&str; 14] = [
        "Override",
        "Reload",
        "SetLogLevel",
        "PauseReplay",
        "Tap",
        "HoldVault",
        "ReleaseVault",
        "PruneVault",
        "Drain",
        "StartReplay",
        "StopReplay",
        "ShowDeadLetter",
        "RedriveDeadLetters",
        "DropDeadLetters",
    ];

    #[test]
    fn every_method_of_the_service_is_known_to_view_or_to_change() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
        let services = files.iter().flat_map(|file| &file.service);
        let methods = services.flat_map(|service| &service.method);
        let mut names: Vec<&str> = methods.map(MethodDescriptorProto::name).collect();
        let mut known = [&VIEWS[..], &CHANGES[..]].concat();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn what_is_not_known_is_for_operators() {
        assert_eq!(needed(SERVICE_NAME, "Status"), Role::Viewer);
        assert_eq!(needed(SERVICE_NAME, "Override"), Role::Operator);
        assert_eq!(needed(SERVICE_NAME, "Forgotten"), Role::Operator);
        assert_eq!(needed("grpc.health.v1.Health", "Check"), Role::Viewer);
        assert_eq!(parts("/a.B/C"), ("a.B", "C"));
        assert_eq!(parts("C"), ("", "C"));
    }
}

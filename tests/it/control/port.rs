//! A process with a control port, and clients of it.

use std::net::SocketAddr;
use std::process::Command;
use std::process::Output;
use std::time::Duration;

use gophership_control::Client;
use gophership_control::ClientError;
use gophership_control::Remote;

use super::authority::Authority;
use super::authority::remote;
use crate::harness::Backend;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::free_address;
use crate::harness::gs_ctl;

pub(super) const SOON: Duration = Duration::from_secs(20);

const PIPELINE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, replay: off }
"#;

/// `alice` operates, `bob` is named nowhere.
const ROLES: &str = "[{ role: operator, cn: alice }]";

/// A process, its site, and the authority that it trusts.
pub(super) struct Port {
    pub(super) process: Process,
    pub(super) site: Site,
    pub(super) authority: Authority,
    pub(super) address: SocketAddr,
    pub(super) backend: Backend,
}

/// The configuration of a port there, with more options of `control.tls` and these rules.
pub(super) fn yaml(address: SocketAddr, more: &str, roles: &str) -> String {
    let tls = "cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/ca.pem";
    format!(
        "{PIPELINE}\ncontrol: {{ listen: '{address}', roles: {roles}, tls: {{ {tls}{more} }} }}\n"
    )
}

impl Port {
    /// Starts a process; `more` options of `control.tls` begin with a comma.
    pub(super) async fn start(more: &str) -> Self {
        let (authority, address) = (Authority::new("test CA"), free_address());
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), &yaml(address, more, ROLES));
        authority.write(site.dir().join("ca.pem"));
        authority.server(site.dir());
        authority.client(site.dir(), "alice", |_| {});
        authority.client(site.dir(), "bob", |_| {});
        authority.revoke(site.dir().join("crl.pem"), &[77]);
        let process = site.start().await;
        Self { process, site, authority, address, backend }
    }

    /// How the client that is called so reaches it.
    pub(super) fn remote(&self, name: &str) -> Remote {
        remote(self.site.dir(), name, &self.address.to_string())
    }

    /// Runs `gs-ctl` as the client that is called so.
    pub(super) fn gs_ctl(&self, name: &str, arguments: &[&str]) -> Output {
        let remote = self.remote(name);
        Command::new(gs_ctl())
            .env_clear()
            .args(["--endpoint", &remote.endpoint, "--ca"])
            .arg(remote.ca)
            .arg("--cert")
            .arg(remote.cert)
            .arg("--key")
            .arg(remote.key)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Connects as the client that is called so.
    pub(super) async fn connect(&self, name: &str) -> Result<Client, ClientError> {
        Client::connect_to(&self.remote(name), SOON).await
    }
}

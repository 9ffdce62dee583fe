//! The listeners of the management plane: where the configuration in force says, and for whom it says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::StartError;
use super::refused;
use crate::component::Stop;
use crate::config::Config;
use crate::control::AccessRules;
use crate::control::ControlPort;
use crate::control::ControlService;
use crate::control::ControlSocket;
use crate::control::Gate;
use crate::control::PortCertificates;
use crate::control::Scrape;

/// What listens for `gs-ctl` and for scrapes.
pub(super) struct Management {
    service: ControlService,
    gate: Arc<Gate>,
    access: AccessRules,
    socket: PathBuf,
    scrape: Option<Listening>,
    port: Option<(Listening, PortCertificates)>,
}

/// A listener, which is stopped with its token.
struct Listening {
    configured: SocketAddr,
    stop: Stop,
    task: JoinHandle<()>,
}

/// What a configuration needs and is not there yet; nothing is served before it is in force.
pub(super) struct Prepared {
    scrape: Option<Scrape>,
    certificates: Option<PortCertificates>,
    port: Option<ControlPort>,
}

impl Management {
    /// Prepares to serve.
    pub(super) fn new(service: ControlService, socket: PathBuf) -> Result<Self, StartError> {
        let access = AccessRules::default();
        let gate = Gate::new(service.clone(), access.clone(), service.audit.clone());
        let gate = gate
            .map_err(std::io::Error::other)
            .map_err(refused("describe", "the control service"))?;
        let gate = Arc::new(gate);
        Ok(Self { service, gate, access, socket, scrape: None, port: None })
    }

    /// Serves the control socket, and keeps the history, until `stop`.
    pub(super) fn serve(&self, control: ControlSocket, stop: Stop) {
        tokio::spawn(self.service.clone().keep_history(stop.clone()));
        let metrics = Arc::clone(&self.service.metrics);
        tokio::spawn(control.serve(Arc::clone(&self.gate), metrics, stop));
    }

    /// Binds what a configuration names and is not bound yet, and reads its certificates.
    pub(super) async fn prepare(&self, config: &Config) -> Result<Prepared, StartError> {
        let is_new = |wanted: SocketAddr, old: Option<&Listening>| {
            old.is_none_or(|old| old.configured != wanted)
        };
        let scrape = match config.metrics.listen {
            Some(address) if is_new(address, self.scrape.as_ref()) => {
                Some(Scrape::bind(address).await.map_err(refused("listen on", address))?)
            }
            _ => None,
        };
        let mut prepared = Prepared { scrape, certificates: None, port: None };
        if let (Some(address), Some(tls)) = (config.control.listen, &config.control.tls) {
            let certificates = PortCertificates::load(tls.clone());
            let certificates = certificates.map_err(|error| StartError::Control(error.into()))?;
            if is_new(address, self.port.as_ref().map(|(port, _)| port)) {
                let port = ControlPort::bind(address, certificates.clone()).await;
                prepared.port = Some(port.map_err(StartError::Control)?);
            }
            prepared.certificates = Some(certificates);
        }
        Ok(prepared)
    }

    /// Serves as the configuration in force says.
    pub(super) async fn follow(&mut self, config: &Config, prepared: Prepared) {
        let Prepared { scrape, certificates, port } = prepared;
        self.access.configure(&config.control.roles);
        if let Err(error) = ControlSocket::open_to(&self.socket, &self.access) {
            let path = self.socket.display();
            tracing::warn!(%path, %error, "Cannot change the mode of the control socket.");
        }
        let wanted = config.metrics.listen;
        if self.scrape.as_ref().map(|scrape| scrape.configured) != wanted {
            let next = wanted.zip(scrape).map(|(configured, scrape)| {
                let service = self.service.clone();
                Listening::start(configured, |stop| scrape.serve(service, stop))
            });
            Listening::end(std::mem::replace(&mut self.scrape, next)).await;
        }
        match (certificates, port) {
            (Some(certificates), Some(port)) => {
                let configured = config.control.listen;
                let next = configured.map(|configured| {
                    let (gate, metrics) =
                        (Arc::clone(&self.gate), Arc::clone(&self.service.metrics));
                    let serve = |stop| port.serve(gate, metrics, stop);
                    (Listening::start(configured, serve), certificates)
                });
                let old = std::mem::replace(&mut self.port, next);
                Listening::end(old.map(|(port, _)| port)).await;
            }
            (Some(certificates), None) => {
                if let Some((_, current)) = &self.port {
                    current.follow(&certificates);
                }
            }
            (None, _) => Listening::end(self.port.take().map(|(port, _)| port)).await,
        }
    }

    /// Stops what has a token of its own, and writes what is to be written.
    pub(super) async fn end(self) {
        Listening::end(self.scrape).await;
        Listening::end(self.port.map(|(port, _)| port)).await;
        self.service.audit.flush().await;
    }
}

impl Listening {
    fn start<F>(configured: SocketAddr, serve: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = Stop::new();
        let task = tokio::spawn(serve(stop.clone()));
        Self { configured, stop, task }
    }

    async fn end(this: Option<Self>) {
        let Some(Self { stop, task, .. }) = this else { return };
        stop.cancel();
        // It only stops listening; a panic in it has been logged.
        let _ended = task.await;
    }
}

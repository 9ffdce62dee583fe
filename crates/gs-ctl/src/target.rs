//! A process that is managed, and the options that name it.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Deserialize;
use serde::Serialize;

use gophership_control::Client;
use gophership_control::Remote;

use crate::args::TargetArgs;
use crate::error::CtlError;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Target {
    /// On this host.
    Socket {
        /// Its control socket.
        socket: PathBuf,
    },
    /// On any host.
    Remote {
        /// Its `control.listen`.
        endpoint: String,
        /// The CA of its certificate.
        ca: PathBuf,
        /// Our certificate.
        cert: PathBuf,
        /// Our key.
        key: PathBuf,
    },
}

impl Target {
    /// The process that the options name, if they do. What is on the command line goes before what is in
    /// the environment, a context on the command line included.
    pub(crate) fn named(
        args: &TargetArgs,
        matches: &ArgMatches,
        has_context: bool,
    ) -> Result<Option<Self>, CtlError> {
        let is_typed = |name| source_of(matches, name) == Some(ValueSource::CommandLine);
        let (socket, endpoint) = (is_typed("socket"), is_typed("endpoint"));
        if socket && endpoint {
            let message = "give --socket or --endpoint, not both".to_owned();
            return Err(CtlError::Usage(message));
        }
        if has_context && is_typed("context") && !socket && !endpoint {
            return Ok(None);
        }
        match (&args.socket, &args.endpoint) {
            (Some(path), _) if !endpoint => Ok(Some(Self::Socket { socket: path.clone() })),
            (_, Some(endpoint)) => Self::remote(endpoint, args).map(Some),
            _ => Ok(None),
        }
    }

    fn remote(endpoint: &str, args: &TargetArgs) -> Result<Self, CtlError> {
        match (&args.ca, &args.cert, &args.key) {
            (Some(ca), Some(cert), Some(key)) => {
                let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
                Ok(Self::Remote { endpoint: endpoint.to_owned(), ca, cert, key })
            }
            _ => Err(CtlError::Usage(
                "--endpoint needs --ca, --cert and --key; `gs-ctl certs init` makes them"
                    .to_owned(),
            )),
        }
    }

    /// The same with paths that mean the same in every folder.
    pub(crate) fn absolute(self) -> Self {
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        match self {
            Self::Socket { socket } => Self::Socket { socket: whole(socket) },
            Self::Remote { endpoint, ca, cert, key } => {
                Self::Remote { endpoint, ca: whole(ca), cert: whole(cert), key: whole(key) }
            }
        }
    }

    /// Connects to it.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Client, CtlError> {
        Ok(match self {
            Self::Socket { socket } => Client::connect(Path::new(socket), timeout).await?,
            Self::Remote { endpoint, ca, cert, key } => {
                let endpoint = endpoint.clone();
                let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
                Client::connect_to(&Remote { endpoint, ca, cert, key }, timeout).await?
            }
        })
    }
}

/// Where the value of a global option comes from: it may stand behind any command.
fn source_of(matches: &ArgMatches, name: &str) -> Option<ValueSource> {
    let own = matches.try_contains_id(name).unwrap_or(false).then(|| matches.value_source(name));
    let inner = matches.subcommand().and_then(|(_, inner)| source_of(inner, name));
    [inner, own.flatten()].into_iter().flatten().max_by_key(|source| match source {
        ValueSource::CommandLine => 2,
        ValueSource::EnvVariable => 1,
        _ => 0,
    })
}

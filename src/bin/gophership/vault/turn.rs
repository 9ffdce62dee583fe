//! How a long command gives way to a server beside it: it follows the server's governor.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use gophership::config::CONTROL_SOCKET;
use gophership::somatic::Governor;
use gophership_control::Client;
use gophership_control::ClientError;
use gophership_vault::Throttle;
use gophership_vault::WriterPresence;

use super::Failure;
use super::place::VaultTarget;
use crate::complain;

/// The governor's share changes every 10 ms.
const ASK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A server that is gone may be back.
const CONNECT_EVERY: Duration = Duration::from_secs(1);

/// How a command behaves beside a server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Manners {
    /// The control socket of the server that uses the vault; by default that of the configuration,
    /// or `control.sock` in a directory above the vault.
    #[arg(long, value_name = "PATH", env = "GOPHERSHIP_CONTROL_SOCKET")]
    socket: Option<PathBuf>,
    /// Do not slow down for a server under pressure.
    #[arg(long)]
    full_speed: bool,
}

impl Manners {
    /// Finds the server that has the vault open, and follows its governor from now on.
    pub(super) fn throttle(&self, target: &VaultTarget) -> Result<Throttle, Failure> {
        if self.full_speed
            || gophership_vault::writer_presence(&target.dir)? == WriterPresence::Absent
        {
            return Ok(Throttle::default());
        }
        let found = || target.socket.clone().or_else(|| socket_above(&target.dir));
        let Some(socket) = self.socket.clone().or_else(found) else {
            cannot_ask("no control socket was found in a directory above the vault; give --socket");
            return Ok(Throttle::default());
        };
        let followed = follow(socket).map_err(|error| cannot_ask(&error.to_string()));
        Ok(followed.unwrap_or_default())
    }
}

fn cannot_ask(reason: &str) {
    complain(&format!(
        "note: a server uses this vault, but the tool cannot ask it how fast to work: {reason}"
    ));
}

/// The socket that is in `data_dir` unless the configuration says otherwise.
fn socket_above(dir: &Path) -> Option<PathBuf> {
    let dir = std::fs::canonicalize(dir).ok()?;
    dir.ancestors().skip(1).map(|above| above.join(CONTROL_SOCKET)).find(|socket| socket.exists())
}

/// Takes over the server's share in a thread of its own, for as long as the process lives.
fn follow(socket: PathBuf) -> Result<Throttle, ClientError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(ClientError::Local)?;
    let governor = Arc::new(Governor::default());
    let client = runtime.block_on(async {
        let mut client = Client::connect(&socket, ANSWER_WITHIN).await?;
        governor.follow(client.share().await?);
        Ok::<_, ClientError>(client)
    })?;
    let theirs = Arc::clone(&governor);
    let run = move || runtime.block_on(keep_asking(&theirs, &socket, client));
    let thread = std::thread::Builder::new().name("governor".to_owned());
    thread.spawn(run).map_err(ClientError::Local)?;
    let is_told = AtomicBool::new(false);
    Ok(Throttle::new(move |worked| {
        let rest = governor.rest_after(worked);
        if rest.is_none() && !is_told.swap(true, Ordering::Relaxed) {
            complain(
                "waiting: the server that uses this vault is in the red zone, which pauses \
                 background work; --full-speed does not wait",
            );
        }
        rest
    }))
}

/// A server that is gone is not waited for.
async fn keep_asking(governor: &Governor, socket: &Path, mut client: Client) {
    loop {
        while let Ok(share) = client.share().await {
            governor.follow(share);
            tokio::time::sleep(ASK_EVERY).await;
        }
        governor.follow(Governor::ALL);
        client = loop {
            tokio::time::sleep(CONNECT_EVERY).await;
            if let Ok(client) = Client::connect(socket, ANSWER_WITHIN).await {
                break client;
            }
        };
    }
}

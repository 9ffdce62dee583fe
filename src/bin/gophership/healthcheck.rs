//! `gophership healthcheck`: asks a running server whether it takes requests, for containers and probes.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use gophership_control::Client;
use gophership_testbed::page;
use gophership_units::HumanDuration;

use crate::complain;
use crate::exit;
use crate::print;

/// Whom to ask, and what.
#[derive(Clone, Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// The `metrics.listen` of the server.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "GOPHERSHIP_HEALTHCHECK_ADDRESS",
        default_value = "127.0.0.1:9091"
    )]
    address: SocketAddr,
    /// Ask over the control socket of the server instead, for a server with `metrics.listen: off`.
    #[arg(long, value_name = "PATH", env = "GOPHERSHIP_HEALTHCHECK_SOCKET")]
    socket: Option<PathBuf>,
    /// Ask only whether the server is alive, not whether it takes requests.
    #[arg(long, env = "GOPHERSHIP_HEALTHCHECK_LIVE")]
    live: bool,
    /// How long to wait for the answer.
    #[arg(
        long,
        value_name = "DURATION",
        env = "GOPHERSHIP_HEALTHCHECK_TIMEOUT",
        default_value = "3s"
    )]
    timeout: HumanDuration,
}

/// Asks, prints the answer, and returns 0 for yes and 1 for everything else: container engines know no other
/// code.
pub(crate) fn run(args: &HealthcheckArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            match &args.socket {
                Some(socket) => ask_socket(socket, args.live, args.timeout.0).await,
                None => ask_page(args.address, args.live, args.timeout.0).await,
            }
        })
    });
    match answer {
        Ok(text) => {
            // The exit code is the answer.
            let _unread = print(&text);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            complain(&reason);
            exit::FAILED.into()
        }
    }
}

/// Asks `/readyz` or `/livez`.
async fn ask_page(address: SocketAddr, is_live: bool, within: Duration) -> Result<String, String> {
    let address = reachable(address);
    let path = if is_live { "/livez" } else { "/readyz" };
    match page(address, path, within).await {
        Some((200, text)) => Ok(text),
        Some((_, text)) => Err(text),
        None => Err(format!(
            "error: no answer from http://{address}{path} within {}; --address must be the \
             metrics.listen of the server",
            HumanDuration(within)
        )),
    }
}

/// A server that listens on all addresses is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks the health service of gRPC; any answer means alive.
async fn ask_socket(socket: &Path, is_live: bool, within: Duration) -> Result<String, String> {
    let client =
        Client::connect(socket, within).await.map_err(|error| format!("error: {error}"))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(client.channel()).check(request).await;
    let answer = answer.map_err(|status| format!("error: {}", client.error(&status)))?;
    match answer.into_inner().status() {
        _ if is_live => Ok("alive\n".to_owned()),
        ServingStatus::Serving => Ok("ready\n".to_owned()),
        _ => Err("not ready: starting, stopping, draining or stalled".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9091", "127.0.0.1:9091"),
            ("[::]:9091", "[::1]:9091"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}

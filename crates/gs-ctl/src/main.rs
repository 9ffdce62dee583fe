//! `gs-ctl`: asks a running GopherShip what it does, and tells it what to do.

mod render;

use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use gophership_control::Client;
use gophership_control::ClientError;
use gophership_control::proto;
use gophership_units::HumanDuration;

/// Exit codes as in sysexits.h.
mod exit {
    pub(super) const USAGE: u8 = 64;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const IO: u8 = 74;
    pub(super) const TEMPORARY: u8 = 75;
    pub(super) const NO_PERMISSION: u8 = 77;
}

/// Manage a running GopherShip through its control socket.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The control socket of GopherShip.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "GOPHERSHIP_CONTROL_SOCKET",
        default_value = "gophership-data/control.sock"
    )]
    socket: PathBuf,
    /// The output format.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        env = "GOPHERSHIP_OUTPUT",
        default_value = "table"
    )]
    output: Format,
    /// Seconds to wait for the answer.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "GOPHERSHIP_TIMEOUT",
        default_value_t = 5
    )]
    timeout: u64,
    #[command(subcommand)]
    command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show zone, components, vaults and the ledger.
    Status,
    /// Override the zone until `--ttl` is over or `--zone auto` is given. Sensors are ignored
    /// meanwhile.
    Override {
        /// The zone.
        #[arg(long, value_enum, env = "GOPHERSHIP_ZONE")]
        zone: ZoneArg,
        /// How long the override lasts, such as 90s, 15m or 2h; by default it has no end.
        #[arg(long, value_name = "DURATION", env = "GOPHERSHIP_TTL")]
        ttl: Option<HumanDuration>,
        /// The reason, shown in the log and in `gs-ctl status`.
        #[arg(long, value_name = "TEXT", env = "GOPHERSHIP_REASON", default_value = "")]
        reason: String,
    },
}

/// A zone, or `auto`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ZoneArg {
    /// The full pipeline.
    Green,
    /// Optional work is skipped.
    Yellow,
    /// All requests go to the vault.
    Red,
    /// Follow the sensors again.
    Auto,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Text for people.
    Table,
    /// JSON for scripts.
    Json,
    /// YAML.
    Yaml,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return if error.print().is_ok() { code.into() } else { exit::IO.into() };
        }
    };
    match answer(&args) {
        Ok(text) => match print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => exit::IO.into(),
        },
        Err(error) => {
            // If standard error is closed there is nobody to tell.
            let _unheard = writeln!(io::stderr().lock(), "error: {error}");
            exit_code(&error).into()
        }
    }
}

const fn exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Unreachable { .. } => exit::UNAVAILABLE,
        ClientError::Forbidden { .. } => exit::NO_PERMISSION,
        ClientError::Late { .. } => exit::TEMPORARY,
        ClientError::Refused(_) | ClientError::Local(_) => exit::IO,
    }
}

fn answer(args: &Args) -> Result<String, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Local)?;
    runtime.block_on(async {
        let timeout = Duration::from_secs(args.timeout.max(1));
        let mut client = Client::connect(&args.socket, timeout).await?;
        match &args.command {
            Command::Status => Ok(render::status(&client.status().await?, args.output)),
            Command::Override { zone, ttl, reason } => {
                let zone = match zone {
                    ZoneArg::Green => proto::Zone::Green,
                    ZoneArg::Yellow => proto::Zone::Yellow,
                    ZoneArg::Red => proto::Zone::Red,
                    ZoneArg::Auto => proto::Zone::Unspecified,
                };
                // A hold of less than a second is one of a second, not one without end.
                let ttl_seconds = ttl.map(|ttl| ttl.0.as_millis().div_ceil(1000));
                let ttl_seconds = ttl_seconds.map(|ttl| u64::try_from(ttl).unwrap_or(u64::MAX));
                let reason = reason.clone();
                let request = proto::OverrideRequest { zone: zone.into(), ttl_seconds, reason };
                Ok(render::zone(&client.hold(request).await?, args.output))
            }
        }
    })
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

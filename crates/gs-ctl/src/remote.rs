//! The commands that ask a running process.

use std::io;
use std::io::IsTerminal;
use std::time::Duration;

use gophership_control::Client;
use gophership_control::ClientError;
use gophership_control::json::is_ready;
use gophership_control::proto;
use gophership_units::HumanDuration;

use crate::args::Command;
use crate::args::ConfigCommand;
use crate::args::CtlArgs;
use crate::args::FlightCommand;
use crate::args::Format;
use crate::args::ZoneArg;
use crate::error::CtlError;
use crate::exit;
use crate::letters;
use crate::print;
use crate::remote_vault;
use crate::render;
use crate::tap::TapOrder;
use crate::target::Target;
use crate::top;

/// `--watch` asks no more often.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// A reload drains what it replaces, and pruning a vault reads what it deletes.
const RELOAD_WITHIN: Duration = Duration::from_mins(1);
/// The store of dead letters is read from its beginning to its end.
const LETTERS_WITHIN: Duration = Duration::from_mins(1);
/// Clears the screen of a terminal, and goes to its first line.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

/// Asks, and prints the answer; returns the exit code.
pub(crate) fn run(args: &CtlArgs, target: &Target) -> Result<u8, CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Local)?;
    runtime.block_on(async {
        if let Command::Top(top) = &args.command {
            return top::run(target, timeout(args), top.interval.0.max(INTERVAL_MIN)).await;
        }
        let mut client = target.connect(timeout(args)).await?;
        match tap_order(args) {
            Some(order) => order.run(&mut client).await,
            None => ask(args, &mut client).await,
        }
    })
}

/// Checks what can be checked before anybody is asked.
///
/// # Errors
///
/// [`CtlError::Usage`].
pub(crate) fn check(args: &CtlArgs) -> Result<(), CtlError> {
    match &args.command {
        Command::DeadLetters { command } => letters::check(command),
        Command::Vault { command } => remote_vault::check_vault(command),
        Command::Drain(drain) => remote_vault::check_drain(drain),
        _ => tap_order(args).map_or(Ok(()), |order| order.check()),
    }
}

/// What `tap` and `tail` show.
fn tap_order(args: &CtlArgs) -> Option<TapOrder<'_>> {
    let (component, options) = match &args.command {
        Command::Tap(tap) => (tap.component.as_str(), &tap.options),
        Command::Tail(options) => ("", options),
        _ => return None,
    };
    Some(TapOrder { component, options, output: args.global.output })
}

/// How long an answer may take; one that waits for a reload, for a vault or for a look at all
/// dead letters takes longer than others.
fn timeout(args: &CtlArgs) -> Duration {
    match args.command {
        Command::Reload { .. } | Command::Vault { .. } => args.global.timeout.0.max(RELOAD_WITHIN),
        Command::DeadLetters { .. } => args.global.timeout.0.max(LETTERS_WITHIN),
        _ => args.global.timeout.0,
    }
}

async fn ask(args: &CtlArgs, client: &mut Client) -> Result<u8, CtlError> {
    let output = args.global.output;
    let text = match &args.command {
        Command::Watch => return watch_zone(args, client).await,
        Command::Config { command: ConfigCommand::Show } => {
            let request = proto::ShowConfigRequest {};
            let answer = client.call(async |control| control.show_config(request).await).await?;
            render::config(&answer, output)
        }
        Command::Config { command: ConfigCommand::Diff }
        | Command::Reload { dry_run: true, .. } => {
            let request = proto::DiffConfigRequest {};
            let answer = client.call(async |control| control.diff_config(request).await).await?;
            return reloaded(&answer, &render::difference(&answer, output));
        }
        Command::Reload { wait, reason, .. } => {
            let request = proto::ReloadRequest { wait: *wait, reason: reason.clone() };
            let answer = client.call(async |control| control.reload(request).await).await?;
            return reloaded(&answer, &render::reload(&answer, output));
        }
        Command::LogLevel { filter: None, .. } => {
            render::log_filter(&client.status().await?.log_filter, None, output)
        }
        Command::LogLevel { filter: Some(filter), reason } => {
            let (filter, reason) = (filter.clone(), reason.clone());
            let request = proto::SetLogLevelRequest { filter: filter.clone(), reason };
            let answer = client.call(async |control| control.set_log_level(request).await).await?;
            render::log_filter(&filter, Some(&answer.before), output)
        }
        Command::DeadLetters { command } => return letters::run(command, output, client).await,
        Command::Replay { range, command } => {
            return remote_vault::replay(range, command.as_ref(), args, client).await;
        }
        Command::Vault { command } => return remote_vault::vault(command, args, client).await,
        Command::Drain(drain) => return remote_vault::drain(drain, args, client).await,
        Command::Flight { command } => flight(command, output, client).await?,
        Command::Status { watch: true, interval } => {
            return watch_status(args, client, interval.0.max(INTERVAL_MIN)).await;
        }
        Command::Status { .. } => render::status(&client.status().await?, output),
        Command::Ledger => render::ledger(&client.status().await?, output),
        Command::Health => {
            let status = client.status().await?;
            print(render::health(&status, output).as_bytes())?;
            return Ok(if is_ready(&status) { 0 } else { exit::FAILED });
        }
        Command::Override { zone, ttl, reason } => {
            let request = hold(*zone, *ttl, reason);
            render::zone(&client.hold(request).await?, output)
        }
        // Those ask nobody, or ask in their own way, and are carried out before.
        Command::Tap(_)
        | Command::Tail(_)
        | Command::Top(_)
        | Command::Context { .. }
        | Command::Certs { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => String::new(),
    };
    print(text.as_bytes())?;
    Ok(0)
}

/// The request to hold a zone.
fn hold(zone: ZoneArg, ttl: Option<HumanDuration>, reason: &str) -> proto::OverrideRequest {
    let zone = match zone {
        ZoneArg::Green => proto::Zone::Green,
        ZoneArg::Yellow => proto::Zone::Yellow,
        ZoneArg::Red => proto::Zone::Red,
        ZoneArg::Auto => proto::Zone::Unspecified,
    };
    // A hold of less than a second is one of a second, not one without end.
    let ttl_seconds = ttl.map(|ttl| ttl.0.as_millis().div_ceil(1000));
    let ttl_seconds = ttl_seconds.map(|ttl| u64::try_from(ttl).unwrap_or(u64::MAX));
    proto::OverrideRequest { zone: zone.into(), ttl_seconds, reason: reason.to_owned() }
}

/// Prints what became of a reload; one that failed has the exit code of a configuration.
fn reloaded(answer: &proto::ReloadResponse, text: &str) -> Result<u8, CtlError> {
    print(text.as_bytes())?;
    Ok(if answer.error.is_empty() { 0 } else { exit::CONFIG })
}

async fn flight(
    command: &FlightCommand,
    output: Format,
    client: &mut Client,
) -> Result<String, CtlError> {
    match command {
        FlightCommand::Ls => {
            let request = proto::ListFlightsRequest {};
            let answer = client.call(async |control| control.list_flights(request).await).await?;
            Ok(render::flights(&answer, output))
        }
        FlightCommand::Show { name } => {
            let request = proto::ShowFlightRequest { name: name.clone().unwrap_or_default() };
            let answer = client.call(async |control| control.show_flight(request).await).await?;
            Ok(render::flight(&answer, output))
        }
    }
}

/// Shows the zone and every change of it, until it is interrupted or nobody reads it any more.
async fn watch_zone(args: &CtlArgs, client: &mut Client) -> Result<u8, CtlError> {
    let request = proto::WatchRequest {};
    let mut events = client.call(async |control| control.watch(request).await).await?;
    loop {
        match events.message().await {
            Ok(Some(event)) => print(render::event(&event, args.global.output).as_bytes())?,
            Ok(None) => return Ok(0),
            Err(status) => return Err(client.error(&status).into()),
        }
    }
}

/// Shows the status again and again, until it is interrupted or nobody reads it any more.
async fn watch_status(
    args: &CtlArgs,
    client: &mut Client,
    interval: Duration,
) -> Result<u8, CtlError> {
    let is_terminal = io::stdout().is_terminal();
    loop {
        let text = render::status(&client.status().await?, args.global.output);
        if is_terminal {
            print(CLEAR)?;
        }
        print(text.as_bytes())?;
        tokio::time::sleep(interval).await;
    }
}

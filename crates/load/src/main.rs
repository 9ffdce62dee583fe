//! `gophership-load`: puts a load on any OTLP endpoint.

mod args;

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;

use gophership_load::Load;
use gophership_load::LoadError;
use gophership_load::LoadReport;
use gophership_load::Second;
use gophership_load::latency;
use gophership_units::grouped;

use args::LoadArgs;
use args::ReportFormat;

/// Exit codes as in sysexits.h.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 64;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const IO: u8 = 74;
    /// 128 and SIGINT.
    pub(super) const INTERRUPTED: u8 = 130;
}

fn main() -> ExitCode {
    let parsed = LoadArgs::try_parse().and_then(|args| {
        let wrong = |text| LoadArgs::command().error(ErrorKind::ArgumentConflict, text);
        let load = args.load().map_err(wrong)?;
        Ok((args, load))
    });
    let (args, load) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return if error.print().is_ok() { code.into() } else { exit::IO.into() };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start the runtime: {error}"));
            return exit::UNAVAILABLE.into();
        }
    };
    match runtime.block_on(put(&args, load)) {
        Ok(report) => print(&report, args.output),
        Err(error) => {
            complain(&format!("error: {}", gophership_units::one_line(&error.to_string())));
            match error {
                LoadError::Interrupted => exit::INTERRUPTED.into(),
                _ => exit::UNAVAILABLE.into(),
            }
        }
    }
}

/// Puts the load on the target, and listens for signals meanwhile.
async fn put(args: &LoadArgs, load: Load) -> Result<LoadReport, LoadError> {
    let (interrupt, interrupts) = watch::channel(0);
    let signals = tokio::spawn(count_signals(interrupt));
    let is_shown = !args.quiet && io::stderr().is_terminal();
    let show = |second: &Second| {
        if is_shown {
            complain(&progress(second));
        }
    };
    let report = gophership_load::run(load, interrupts, show).await;
    signals.abort();
    report
}

/// Counts what asks to end: the first ends the schedule, the second the wait for answers. To be dropped at any time.
async fn count_signals(interrupt: watch::Sender<u32>) {
    let (Ok(mut ctrl_c), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without a handler a signal ends the process, as it does by default.
        return;
    };
    let next = async |ctrl_c: &mut Signal, terminate: &mut Signal| {
        tokio::select! {
            _ = ctrl_c.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    loop {
        next(&mut ctrl_c, &mut terminate).await;
        interrupt.send_modify(|count| *count += 1);
        if *interrupt.borrow() == 1 {
            complain("interrupted: waiting for answers; Ctrl-C again to wait no longer");
        }
    }
}

fn progress(second: &Second) -> String {
    let Second { at, records, offered, accepted, failed, not_sent, in_flight, since_due } = second;
    let rate = |requests: &u64| grouped(requests * records);
    let p99 = if since_due.count == 0 { "none".to_owned() } else { latency(since_due.p99) };
    format!(
        "{:>4} s: {} records/s offered, {} accepted, {} failed; {} requests in flight, {} not sent; p99 {p99}",
        at.as_secs(),
        rate(offered),
        rate(accepted),
        rate(failed),
        grouped(*in_flight),
        grouped(*not_sent),
    )
}

fn print(report: &LoadReport, format: ReportFormat) -> ExitCode {
    let text = match format {
        ReportFormat::Table => report.text(),
        ReportFormat::Json => format!("{:#}\n", report.document()),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::IO.into(),
        _ if report.is_all_accepted() => ExitCode::SUCCESS,
        _ => exit::FAILED.into(),
    }
}

/// Says something to the person at the terminal; if that fails there is nobody to tell.
fn complain(text: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

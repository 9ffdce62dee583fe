//! `gs-ctl`: asks a running GopherShip what it does, and tells it what to do.

mod args;
mod args_letters;
mod args_live;
mod args_vault;
mod certs;
mod choice;
mod consent;
mod contexts;
mod error;
mod letters;
mod remote;
mod remote_vault;
mod render;
mod tap;
mod target;
mod top;

use std::io;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::CommandFactory;
use clap::FromArgMatches;

use args::CertsCommand;
use args::Command;
use args::ContextCommand;
use args::CtlArgs;
use certs::CertificateOptions;
use contexts::Contexts;
use error::CtlError;
use target::Target;

/// Exit codes as in sysexits.h.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 64;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const IO: u8 = 74;
    pub(super) const TEMPORARY: u8 = 75;
    pub(super) const NO_PERMISSION: u8 = 77;
    pub(super) const CONFIG: u8 = 78;
}

fn main() -> ExitCode {
    let parsed = CtlArgs::command().try_get_matches();
    let parsed = parsed.and_then(|matches| {
        let args = CtlArgs::from_arg_matches(&matches)?;
        Ok((args, matches))
    });
    let (args, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return match error.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::IO.into(),
                _ => code.into(),
            };
        }
    };
    match run(&args, &matches) {
        Ok(code) => code.into(),
        // Whoever read it has seen enough, as in `gs-ctl status | head`.
        Err(CtlError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            // If standard error is closed there is nobody to tell.
            // What another program says goes to a terminal; problems of a configuration have several lines.
            let text = error.to_string();
            let lines: Vec<_> = text.split('\n').map(gophership_units::one_line).collect();
            let _unheard = writeln!(io::stderr().lock(), "error: {}", lines.join("\n"));
            error.code().into()
        }
    }
}

/// Carries the command out, and returns the exit code.
fn run(args: &CtlArgs, matches: &ArgMatches) -> Result<u8, CtlError> {
    match &args.command {
        Command::Context { command } => context(command, args, matches)?,
        Command::Certs { command } => certificates(command, args)?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut CtlArgs::command(), "gs-ctl", &mut text);
            print(&text)?;
        }
        Command::Man { dir } => man(dir)?,
        _ => {
            remote::check(args)?;
            return remote::run(args, &choice::target(&args.global, matches)?);
        }
    }
    Ok(0)
}

fn context(command: &ContextCommand, args: &CtlArgs, matches: &ArgMatches) -> Result<(), CtlError> {
    let path = contexts::path().ok_or_else(|| {
        CtlError::Usage("there is no place for contexts: set GS_CONFIG or HOME".to_owned())
    })?;
    let mut contexts = Contexts::read(&path)?;
    match command {
        ContextCommand::Ls => {}
        ContextCommand::Use { name } => {
            contexts.get(name, &path)?;
            contexts.current = Some(name.clone());
        }
        ContextCommand::Set { name } => {
            let target = Target::named(&args.global.target, matches, false)?.ok_or_else(|| {
                CtlError::Usage("give --socket, or --endpoint, --ca, --cert and --key".to_owned())
            })?;
            contexts.contexts.insert(name.clone(), target.absolute());
            contexts.current.get_or_insert_with(|| name.clone());
        }
        ContextCommand::Rm { name } => {
            contexts.get(name, &path)?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.filter(|current| current != name);
        }
    }
    if !matches!(command, ContextCommand::Ls) {
        contexts.write(&path)?;
    }
    print(render::contexts(&contexts, args.global.output).as_bytes())
}

fn certificates(command: &CertsCommand, args: &CtlArgs) -> Result<(), CtlError> {
    let CertsCommand::Init { dir, host, client, days, force } = command;
    let order =
        CertificateOptions { dir, hosts: host, clients: client, days: *days, force: *force };
    let made = certs::init(&order)?;
    print(render::certificates(&made, args.global.output).as_bytes())
}

fn man(dir: &Path) -> Result<(), CtlError> {
    let write = || {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(CtlArgs::command(), dir)
    };
    write().map_err(|source| CtlError::Write { path: dir.to_owned(), source })
}

/// Writes to standard output.
fn print(text: &[u8]) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}

//! `gophership vault`: looks into vaults and archives, gets data out, mends them and makes room. Offline, and safe
//! beside a running server.

mod archive;
mod archive_ls;
mod archive_reader;
mod archive_verify;
mod args;
mod cat;
mod endpoint;
mod export;
mod files;
mod ls;
mod mend;
mod needs;
mod place;
mod progress;
mod prune;
mod records;
mod table;
mod through;
mod turn;
mod verify;
mod when;

use std::io;
use std::process::ExitCode;

use gophership_vault::VaultError;

use crate::complain;

pub(crate) use args::OutputFormat;
pub(crate) use args::VaultCommand;
pub(crate) use progress::Progress;
pub(crate) use table::print;
pub(crate) use table::size;
pub(crate) use when::show as show_time;

/// Exit codes beyond those of `main`.
mod exit {
    /// Something is wrong with the vault, or some requests were refused for good.
    pub(super) const FAULTS: u8 = 1;
    /// `verify` could not look.
    pub(super) const UNVERIFIED: u8 = 2;
    /// A server has the vault open.
    pub(super) const IN_USE: u8 = 75;
    /// 128 and SIGINT.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Why a command ended early, and what to do about it.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Self {
        Self { code: crate::exit::USAGE, text: text.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever read it has seen enough, as in `gophership vault cat | head`.
        let code = if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { crate::exit::IO };
        Self { code, text: format!("cannot write the output: {error}") }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let code = match &error {
            VaultError::Locked { .. } => exit::IN_USE,
            VaultError::InvalidOptions { .. } | VaultError::CursorName { .. } => crate::exit::USAGE,
            _ => crate::exit::IO,
        };
        let advice = match &error {
            VaultError::Locked { .. } => {
                "; stop the server first (a running server repairs and prunes the vault itself)"
            }
            VaultError::CursorName { .. } => "; `gophership vault ls` lists the cursors",
            _ => "",
        };
        Self { code, text: format!("{}{advice}", gophership_http_client::chain(&error)) }
    }
}

/// The lowest priority there is.
const NICE: i32 = 19;

/// Lets a server beside go first. A disk scheduler that knows priorities takes the lowest of ordinary
/// ones from this as well. Who may not have it works on as he is.
pub(crate) fn yield_to_others() {
    let _own_priority = rustix::process::nice(NICE);
}

/// Does what was asked for.
pub(crate) fn run(command: VaultCommand) -> ExitCode {
    let reads_all =
        matches!(command, VaultCommand::Verify(_) | VaultCommand::Cat(_) | VaultCommand::Export(_));
    if reads_all {
        yield_to_others();
    }
    let is_verify = matches!(command, VaultCommand::Verify(_));
    let done = match command {
        VaultCommand::Ls(args) => ls::run(&args),
        VaultCommand::Verify(args) => verify::run(&args),
        VaultCommand::Cat(args) => cat::run(&args),
        VaultCommand::Export(args) => export::run(&args),
        VaultCommand::Repair(args) => mend::run(&args),
        VaultCommand::Prune(args) => prune::run(&args),
        VaultCommand::Hold(args) => prune::hold(&args),
        VaultCommand::Release(args) => prune::release(&args),
    };
    match done {
        Ok(code) => code.into(),
        Err(Failure { code: 0, .. }) => ExitCode::SUCCESS,
        Err(Failure { code, text }) => {
            complain(&format!("error: {text}"));
            let could_not_look = is_verify && code != crate::exit::USAGE;
            if could_not_look { exit::UNVERIFIED.into() } else { code.into() }
        }
    }
}

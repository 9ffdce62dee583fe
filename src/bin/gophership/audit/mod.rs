//! `gophership audit`: proves the ledger against what the vaults hold. Offline, and safe beside a
//! running server.

mod judge;
mod look;
mod render;
mod rows;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use clap::Args;

use gophership::app;
use gophership::ledger::Standing;
use gophership_units::HumanDuration;

use crate::complain;
use crate::exit;
use crate::vault::OutputFormat;
use crate::vault::print;
use crate::vault::yield_to_others;
use judge::AuditVerdict;
use look::AuditView;
use look::LookError;
use state::ProcessState;

/// A running server writes once a second; what it does not write in this time does not move.
const STILL_AFTER: Duration = Duration::from_millis(2_500);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What to audit.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// The configuration file; by default the built-in one (see `default-config`).
    #[arg(short, long, value_name = "FILE", env = "GOPHERSHIP_CONFIG")]
    config: Option<PathBuf>,
    /// The configuration file, in place of --config.
    #[arg(value_name = "FILE")]
    path: Option<PathBuf>,
    /// The output format.
    #[arg(short, long, value_enum, env = "GOPHERSHIP_OUTPUT", default_value = "table")]
    output: OutputFormat,
    /// The longest time to wait until no record moves. Only then can the vaults be compared with
    /// the ledger.
    #[arg(long, value_name = "TIME", env = "GOPHERSHIP_WITHIN", default_value = "10s")]
    within: HumanDuration,
}

pub(crate) fn run(args: &AuditArgs) -> ExitCode {
    let source = crate::named(args.path.clone().or_else(|| args.config.clone()));
    let config = match crate::load(&source) {
        Ok(config) => config,
        Err(code) => return code,
    };
    yield_to_others();
    let (data_dir, vaults) = (config.data_dir.clone(), app::vault_dirs(&config));
    let (look, verdict) = match look_until_still(&data_dir, &vaults, args.within.0) {
        Ok(seen) => seen,
        Err(error) => {
            complain(&format!("error: {error}"));
            return match error {
                LookError::Nothing(_) => exit::NO_INPUT.into(),
                LookError::Damaged(_) => exit::FAILED.into(),
                LookError::Io(_) | LookError::Vault(_) => exit::IO.into(),
            };
        }
    };
    let printed = print(
        args.output,
        || render::text(&data_dir, &look, &verdict),
        || render::document(&data_dir, &look, &verdict),
    );
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit::IO.into(),
        _ if verdict.is_balanced() => ExitCode::SUCCESS,
        _ => exit::FAILED.into(),
    }
}

/// Looks until nothing moves, so that vaults and books can be compared, or time is up. A page alone does
/// not tell that: what moved in the last second is not written yet.
fn look_until_still(
    data_dir: &std::path::Path,
    vaults: &[PathBuf],
    within: Duration,
) -> Result<(AuditView, AuditVerdict), LookError> {
    let deadline = Instant::now() + within;
    let mut balanced = None;
    loop {
        let look = AuditView::take(data_dir, vaults)?;
        let is_settled = match ProcessState::of(&look) {
            ProcessState::Ended | ProcessState::Killed => true,
            ProcessState::Quiet => is_still(data_dir, look.generation)?,
            ProcessState::Moving => false,
        };
        if is_settled {
            let verdict = judge::judge(&look);
            return Ok((look, verdict));
        }
        if deadline <= Instant::now() {
            return Ok(moving(balanced.unwrap_or(look)));
        }
        if look.snapshot.rows().is_balanced() {
            balanced = Some(look);
        }
        pause();
    }
}

/// What can be said when time is up: the vaults are of another moment, but a bug would never let the sums
/// agree.
fn moving(mut look: AuditView) -> (AuditView, AuditVerdict) {
    look.snapshot.standing = Standing::Moving;
    let verdict = judge::judge(&look);
    (look, verdict)
}

#[expect(clippy::disallowed_methods, reason = "there is no async code here")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

/// Whether the server has written nothing for so long that nothing moved while it was looked at.
fn is_still(data_dir: &std::path::Path, generation: u64) -> Result<bool, LookError> {
    let deadline = Instant::now() + STILL_AFTER;
    while Instant::now() < deadline {
        if look::read(data_dir)?.0 != generation {
            return Ok(false);
        }
        pause();
    }
    Ok(look::read(data_dir)?.0 == generation)
}

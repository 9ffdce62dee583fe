//! The commands that concern vaults: `vault`, `replay` and `drain`.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use gophership_control::Client;
use gophership_control::Streaming;
use gophership_control::proto;
use gophership_units::HumanDuration;
use gophership_units::Moment;

use crate::args::CtlArgs;
use crate::args_vault::DrainArgs;
use crate::args_vault::RangeArgs;
use crate::args_vault::RemotePruneArgs;
use crate::args_vault::RemoteVaultCommand;
use crate::args_vault::ReplayCommand;
use crate::consent;
use crate::error::CtlError;
use crate::exit;
use crate::print;
use crate::render;

/// The time between two lines of a replay that is followed.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// A line on the terminal that is drawn again and again. Nothing is drawn on a pipe.
#[derive(Default)]
struct ProgressLine {
    is_drawn: bool,
}

impl ProgressLine {
    fn show(&mut self, text: &str) {
        if io::stderr().is_terminal() {
            self.is_drawn = true;
            // Nobody has to see it.
            let _unseen = write!(io::stderr().lock(), "\r{text}\x1b[K");
        }
    }
}

/// Takes the line away.
impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_drawn {
            let _unseen = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Refuses, before anybody is asked, to delete segments where nobody can be asked.
pub(crate) fn check_vault(command: &RemoteVaultCommand) -> Result<(), CtlError> {
    match command {
        RemoteVaultCommand::Prune(RemotePruneArgs { yes: false, dry_run: false, .. }) => {
            consent::can_be_asked_for("delete segments, or look with --dry-run")
        }
        _ => Ok(()),
    }
}

/// Refuses, before anybody is asked, to drain where nobody can be asked.
pub(crate) fn check_drain(drain: &DrainArgs) -> Result<(), CtlError> {
    if drain.undo || drain.yes { Ok(()) } else { consent::can_be_asked_for("drain") }
}

/// Carries out `gs-ctl vault`; returns the exit code.
pub(crate) async fn vault(
    command: &RemoteVaultCommand,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<u8, CtlError> {
    let output = args.global.output;
    let text = match command {
        RemoteVaultCommand::Ls => {
            let request = proto::ListVaultsRequest {};
            let answer = client.call(async |control| control.list_vaults(request).await).await?;
            render::vaults(&answer, output)
        }
        RemoteVaultCommand::Verify { name, segment } => {
            return verify(name.as_ref(), *segment, args, client).await;
        }
        RemoteVaultCommand::Hold { name, hold, ttl, reason } => {
            let (vault, name, reason) = (name.clone(), hold.clone(), reason.clone());
            let request =
                proto::HoldVaultRequest { vault, name, ttl_seconds: ttl.map(seconds), reason };
            let answer = client.call(async |control| control.hold_vault(request).await).await?;
            render::held(&answer, output)
        }
        RemoteVaultCommand::Release { name, hold, reason } => {
            let (vault, name, reason) = (name.clone(), hold.clone(), reason.clone());
            let request = proto::ReleaseVaultRequest { vault, name, reason };
            let answer = client.call(async |control| control.release_vault(request).await).await?;
            render::released(&answer, output)
        }
        RemoteVaultCommand::Prune(prune) => prune_vault(prune, args, client).await?,
    };
    print(text.as_bytes())?;
    Ok(0)
}

/// Whole seconds; less than one is one.
fn seconds(duration: HumanDuration) -> u64 {
    u64::try_from(duration.0.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Verifies one vault or all, and prints what was found.
async fn verify(
    name: Option<&String>,
    segment: Option<u64>,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<u8, CtlError> {
    let names = match name {
        Some(name) => vec![name.clone()],
        None => client.status().await?.vaults.into_iter().map(|vault| vault.id).collect(),
    };
    let mut results = Vec::new();
    for name in names {
        let result = verify_one(&name, segment, client).await?;
        results.push((name, result));
    }
    print(render::verified(&results, args.global.output).as_bytes())?;
    let is_sound = results.iter().all(|(_, result)| result.findings_total == 0);
    Ok(if is_sound { 0 } else { exit::FAILED })
}

async fn verify_one(
    vault: &str,
    segment: Option<u64>,
    client: &mut Client,
) -> Result<proto::VaultVerification, CtlError> {
    let request = proto::VerifyVaultRequest { vault: vault.to_owned(), segment };
    let mut answers = client.call(async |control| control.verify_vault(request).await).await?;
    let mut line = ProgressLine::default();
    loop {
        match answers.message().await {
            Ok(Some(proto::VerifyVaultResponse { result: Some(result), .. })) => return Ok(result),
            Ok(Some(progress)) => line.show(&render::verifying(vault, &progress)),
            Ok(None) => return Err(CtlError::Ended),
            Err(status) => return Err(client.error(&status).into()),
        }
    }
}

/// Deletes segments, after a question.
async fn prune_vault(
    args: &RemotePruneArgs,
    global: &CtlArgs,
    client: &mut Client,
) -> Result<String, CtlError> {
    let request = |dry_run| proto::PruneVaultRequest {
        vault: args.name.clone(),
        older_than_seconds: args.older_than.map(seconds),
        segment: args.segment,
        force: args.force,
        dry_run,
        reason: args.reason.clone(),
    };
    if !args.dry_run && !args.yes {
        let planned = request(true);
        let planned = client.call(async |control| control.prune_vault(planned).await).await?;
        if !planned.segments.is_empty() && !consent::is_given(&render::prune_question(&planned))? {
            return Err(CtlError::Usage("nothing was deleted".to_owned()));
        }
    }
    let request = request(args.dry_run);
    let answer = client.call(async |control| control.prune_vault(request).await).await?;
    Ok(render::pruned(&answer, global.global.output))
}

/// Carries out `gs-ctl replay`; returns the exit code.
pub(crate) async fn replay(
    range: &RangeArgs,
    command: Option<&ReplayCommand>,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<u8, CtlError> {
    let output = args.global.output;
    let text = match command {
        None => return replay_range(range, args, client).await,
        Some(ReplayCommand::Status) => render::replay(&client.status().await?, output),
        Some(ReplayCommand::Pause { reason }) => pause(true, reason, args, client).await?,
        Some(ReplayCommand::Resume { reason }) => pause(false, reason, args, client).await?,
        Some(ReplayCommand::Ls) => {
            let request = proto::ListReplaysRequest {};
            let answer = client.call(async |control| control.list_replays(request).await).await?;
            render::replays(&answer, output)
        }
        Some(ReplayCommand::Stop { id, reason }) => {
            let request = proto::StopReplayRequest { id: *id, reason: reason.clone() };
            let answer = client.call(async |control| control.stop_replay(request).await).await?;
            render::range(&answer.replay.unwrap_or_default(), output)
        }
    };
    print(text.as_bytes())?;
    Ok(0)
}

async fn pause(
    paused: bool,
    reason: &str,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<String, CtlError> {
    let request = proto::PauseReplayRequest { paused, reason: reason.to_owned() };
    let answer = client.call(async |control| control.pause_replay(request).await).await?;
    Ok(render::paused(answer, args.global.output))
}

/// Counts, starts or follows a replay.
async fn replay_range(
    range: &RangeArgs,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<u8, CtlError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let ms = |moment: Moment| moment.0 / 1_000_000;
    let request = proto::ReplayRequest {
        vault: text(&range.vault),
        from: text(&range.from),
        since_unix_ms: range.since.map(ms),
        until_unix_ms: range.until.map(ms),
        source: text(&range.source),
        signal: text(&range.signal),
        rate: range.rate,
        sinks: range.to.clone(),
        follow: range.follow,
        reason: range.reason.clone(),
    };
    let output = args.global.output;
    if range.dry_run {
        let counted = client.call(async |control| control.count_replay(request).await).await?;
        let mut line = ProgressLine::default();
        let show = |progress: &proto::ReplayProgress| {
            line.show(render::range_line(progress).trim_end());
            Ok(())
        };
        let last = last(counted, client, show).await?;
        print(render::counted(&last, output).as_bytes())?;
        return Ok(0);
    }
    let started = client.call(async |control| control.start_replay(request).await).await?;
    if !range.follow {
        let first = last(started, client, |_| Ok(())).await?;
        print(render::started(&first, output).as_bytes())?;
        return Ok(0);
    }
    let mut told: Option<Instant> = None;
    let last = last(started, client, |progress| {
        if told.is_none_or(|told| LINE_EVERY <= told.elapsed()) || progress.state != "running" {
            told = Some(Instant::now());
            print(render::range_event(progress, output).as_bytes())?;
        }
        Ok(())
    });
    let last = last.await?;
    Ok(if last.state == "done" { 0 } else { exit::FAILED })
}

/// Shows every answer of a stream, and returns the last one.
async fn last(
    mut answers: Streaming<proto::ReplayProgress>,
    client: &Client,
    mut show: impl FnMut(&proto::ReplayProgress) -> Result<(), CtlError>,
) -> Result<proto::ReplayProgress, CtlError> {
    let mut last = None;
    loop {
        match answers.message().await {
            Ok(Some(progress)) => {
                show(&progress)?;
                last = Some(progress);
            }
            Ok(None) => return last.ok_or(CtlError::Ended),
            Err(status) => return Err(client.error(&status).into()),
        }
    }
}

/// Carries out `gs-ctl drain`; returns the exit code.
pub(crate) async fn drain(
    drain: &DrainArgs,
    args: &CtlArgs,
    client: &mut Client,
) -> Result<u8, CtlError> {
    if !drain.undo
        && !drain.yes
        && !consent::is_given("Refuse all new requests until `gs-ctl drain --undo` or a restart?")?
    {
        return Err(CtlError::Usage("nothing was drained".to_owned()));
    }
    let ms = |duration: HumanDuration| u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX);
    let request = proto::DrainRequest {
        undo: drain.undo,
        wait: drain.wait,
        deadline_ms: drain.deadline.map(ms),
        reason: drain.reason.clone(),
    };
    let mut answers = client.call(async |control| control.drain(request).await).await?;
    let mut line = ProgressLine::default();
    let mut last = None;
    loop {
        match answers.message().await {
            Ok(Some(left)) => {
                line.show(&render::draining(&left));
                last = Some(left);
            }
            Ok(None) => break,
            Err(status) => return Err(client.error(&status).into()),
        }
    }
    drop(line);
    let last = last.ok_or(CtlError::Ended)?;
    print(render::drained(&last, args.global.output).as_bytes())?;
    Ok(if drain.wait && !last.done { exit::FAILED } else { 0 })
}

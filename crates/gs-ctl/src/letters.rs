//! `gs-ctl dead-letters`: asks a running process for dead letters, and tells it what to do with them.

use std::collections::BTreeMap;
use std::io;
use std::io::IsTerminal;
use std::io::Write;

use gophership_control::Client;
use gophership_control::proto;

use crate::args::Format;
use crate::args_letters::ContentFormat;
use crate::args_letters::LettersCommand;
use crate::consent;
use crate::error::CtlError;
use crate::exit;
use crate::print;
use crate::render;

/// Groups that are kept while a list comes in parts; what goes beyond is added up in one.
const GROUPS_MAX: usize = 10_000;
/// What stands for the reasons of those.
const OTHER_REASONS: &str = "other reasons";
/// Content that is larger is not shown as JSON.
const CONTENT_BYTES_MAX: usize = 16 << 20;

/// Refuses, before anybody is asked, what nobody could agree to.
pub(crate) fn check(command: &LettersCommand) -> Result<(), CtlError> {
    match command {
        LettersCommand::Drop { yes: false, dry_run: false, .. } => {
            consent::can_be_asked_for("delete the letters")
        }
        _ => Ok(()),
    }
}

/// Carries a command out, and returns the exit code.
pub(crate) async fn run(
    command: &LettersCommand,
    output: Format,
    client: &mut Client,
) -> Result<u8, CtlError> {
    match command {
        LettersCommand::Ls { selection, reason, each, limit } => {
            let mut selection = selection.wire(&[]);
            if let Some(reason) = reason {
                selection.because.clone_from(reason);
            }
            let listed = list(client, selection, *each, *limit).await?;
            print(render::letters(&listed, output).as_bytes())?;
            Ok(0)
        }
        LettersCommand::Show { id, format } => show(client, id, *format, output).await,
        LettersCommand::Redrive { ids, selection, to, dry_run, wait, reason } => {
            let request = proto::RedriveDeadLettersRequest {
                selection: Some(selection.wire(ids)),
                dry_run: *dry_run,
                wait: *wait,
                reason: reason.clone(),
                to: to.clone(),
            };
            redrive(client, request, output).await
        }
        LettersCommand::Drop { ids, selection, dry_run, yes, reason } => {
            let counting = proto::DropDeadLettersRequest {
                selection: Some(selection.wire(ids)),
                dry_run: true,
                reason: reason.clone(),
            };
            let sure = if *dry_run { Consent::CountOnly } else { Consent::of(*yes) };
            drop_letters(client, counting, sure, output).await
        }
    }
}

/// A list as it is put together from its parts.
#[derive(Debug, Default)]
pub(crate) struct ListedLetters {
    pub(crate) is_each: bool,
    pub(crate) groups: Vec<proto::LetterGroup>,
    pub(crate) letters: Vec<proto::DeadLetter>,
    pub(crate) redrives: Vec<proto::Redrive>,
    pub(crate) damaged: u64,
    pub(crate) now_unix_ms: u64,
    /// There is more than was asked for.
    pub(crate) has_more: bool,
}

async fn list(
    client: &mut Client,
    selection: proto::LetterSelection,
    each: bool,
    limit: u32,
) -> Result<ListedLetters, CtlError> {
    let lines_max = if limit == 0 { usize::MAX } else { limit as usize };
    let mut listed = ListedLetters { is_each: each, ..ListedLetters::default() };
    let (mut groups, mut after) = (BTreeMap::new(), String::new());
    loop {
        // One more, to know whether there is one.
        let left = lines_max.saturating_sub(listed.letters.len()).saturating_add(1);
        let limit = u32::try_from(left).unwrap_or(0);
        let selection = Some(selection.clone());
        let request = proto::ListDeadLettersRequest { selection, each, after, limit };
        let part = client.call(async |control| control.list_dead_letters(request).await).await?;
        listed.letters.extend(part.letters);
        for group in part.groups {
            add_group(&mut groups, group);
        }
        listed.damaged += part.damaged;
        (listed.redrives, listed.now_unix_ms) = (part.redrives, part.now_unix_ms);
        after = part.next;
        if after.is_empty() || lines_max < listed.letters.len() {
            break;
        }
    }
    listed.groups = groups.into_values().collect();
    // The largest first.
    listed.groups.sort_by_key(|group| std::cmp::Reverse(group.letters));
    listed.has_more = lines_max < listed.letters.len().max(listed.groups.len());
    listed.groups.truncate(lines_max);
    listed.letters.truncate(lines_max);
    Ok(listed)
}

fn add_group(
    groups: &mut BTreeMap<(String, String, String), proto::LetterGroup>,
    mut group: proto::LetterGroup,
) {
    let key = |group: &proto::LetterGroup| {
        (group.vault.clone(), group.sink.clone(), group.reason.clone())
    };
    if GROUPS_MAX <= groups.len() && !groups.contains_key(&key(&group)) {
        OTHER_REASONS.clone_into(&mut group.reason);
    }
    let sum = groups.entry(key(&group)).or_insert_with(|| proto::LetterGroup {
        letters: 0,
        records: 0,
        bytes: 0,
        ..group.clone()
    });
    sum.letters += group.letters;
    sum.records += group.records;
    sum.bytes += group.bytes;
    sum.oldest_unix_ms = sum.oldest_unix_ms.min(group.oldest_unix_ms);
    sum.newest_unix_ms = sum.newest_unix_ms.max(group.newest_unix_ms);
}

async fn show(
    client: &mut Client,
    id: &str,
    format: ContentFormat,
    output: Format,
) -> Result<u8, CtlError> {
    let is_raw = format == ContentFormat::Raw;
    let request = proto::ShowDeadLetterRequest { id: id.to_owned(), raw: is_raw };
    let mut pieces = client.call(async |control| control.show_dead_letter(request).await).await?;
    let (mut letter, mut content) = (proto::DeadLetter::default(), Vec::new());
    loop {
        let piece = match pieces.message().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(status) => return Err(client.error(&status).into()),
        };
        letter = piece.letter.unwrap_or(letter);
        if is_raw {
            print(&piece.content)?;
            continue;
        }
        content.extend_from_slice(&piece.content);
        if CONTENT_BYTES_MAX < content.len() {
            return Err(CtlError::Usage(
                "the content is too large to be shown as JSON: use --format raw".to_owned(),
            ));
        }
    }
    if !is_raw {
        print(render::letter(&letter, &content, output).as_bytes())?;
    }
    Ok(0)
}

async fn redrive(
    client: &mut Client,
    request: proto::RedriveDeadLettersRequest,
    output: Format,
) -> Result<u8, CtlError> {
    let (is_dry_run, wait) = (request.dry_run, request.wait);
    let events = client.call(async |control| control.redrive_dead_letters(request).await);
    let mut events = events.await?;
    let mut last = proto::RedriveDeadLettersResponse::default();
    loop {
        match events.message().await {
            Ok(Some(event)) => last = event,
            Ok(None) => break,
            Err(status) => return Err(client.error(&status).into()),
        }
        if wait && io::stderr().is_terminal() {
            // If it cannot be shown there is nobody who waits for it.
            let _unseen = write!(io::stderr(), "\r{}", render::redrive_line(&last));
        }
    }
    if wait && io::stderr().is_terminal() {
        let _unseen = writeln!(io::stderr());
    }
    print(render::redrives(&last, is_dry_run, output).as_bytes())?;
    let stays = |redrive: &proto::Redrive| {
        !redrive.stopped.is_empty() || wait && redrive.delivered_letters < redrive.letters
    };
    let is_failed = !is_dry_run && last.redrives.iter().any(stays);
    Ok(if is_failed { exit::FAILED } else { 0 })
}

/// Whether letters may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    CountOnly,
    Given,
    Ask,
}

impl Consent {
    const fn of(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Ask }
    }
}

async fn drop_letters(
    client: &mut Client,
    counting: proto::DropDeadLettersRequest,
    consent: Consent,
    output: Format,
) -> Result<u8, CtlError> {
    let request = counting.clone();
    let counted = client.call(async |control| control.drop_dead_letters(request).await).await?;
    if consent == Consent::CountOnly || counted.letters == 0 {
        print(render::dropped(&counted, true, output).as_bytes())?;
        return Ok(0);
    }
    if consent == Consent::Ask && !consent::is_given(&render::drop_question(&counted))? {
        print(b"nothing was deleted\n")?;
        return Ok(exit::FAILED);
    }
    // Only what was counted: later letters were not asked for.
    let selection = counting
        .selection
        .map(|selection| proto::LetterSelection { ends: counted.ends.clone(), ..selection });
    let request = proto::DropDeadLettersRequest { selection, dry_run: false, ..counting };
    let dropped = client.call(async |control| control.drop_dead_letters(request).await).await?;
    print(render::dropped(&dropped, false, output).as_bytes())?;
    Ok(0)
}

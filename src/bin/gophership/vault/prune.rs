//! `gophership vault prune`, `hold` and `release`: what goes and what stays.

use std::fmt::Write as _;
use std::io;
use std::io::Write as _;

use gophership_units::ns_of;
use gophership_units::unix_ns;
use serde_json::Value;
use serde_json::json;

use gophership_vault::ClearScope;
use gophership_vault::Cleared;
use gophership_vault::Hold;
use gophership_vault::Survey;

use super::Failure;
use super::args::HoldArgs;
use super::args::PruneArgs;
use super::args::ReleaseArgs;
use super::needs;
use super::needs::Needs;
use super::table;
use crate::exit;

pub(super) fn run(args: &PruneArgs) -> Result<u8, Failure> {
    let target = args.place.find_whole()?;
    let dir = target.dir.clone();
    let scope = match args.older_than {
        Some(age) => {
            let age_ns = ns_of(age.get());
            ClearScope::OlderThan { unix_ns: unix_ns().saturating_sub(age_ns) }
        }
        None if args.quarantine => ClearScope::Quarantined { is_any: args.yes_lose_data },
        None => ClearScope::Delivered { is_any: args.yes_lose_data },
    };
    let known = needs::known_cursors(&target);
    let mut planned = gophership_vault::clear(&dir, &known, scope, true)?;
    let needs = Needs::take(&dir, &known, &mut planned)?;
    if !args.yes_lose_data
        && let Some(text) = needs.objection()
    {
        return Err(Failure { code: exit::FAILED, text });
    }
    if !args.dry_run {
        gophership_vault::clear(&dir, &known, scope, false)?;
    }
    let cleared = planned;
    table::print(
        args.output,
        || text(&cleared, args.dry_run),
        || document(&cleared, args.dry_run),
    )?;
    Ok(0)
}

fn text(cleared: &[Cleared], is_dry_run: bool) -> String {
    let row = |one: &Cleared| {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lost = one.undelivered_records.to_string();
        vec![one.id.to_string(), table::size(one.file_bytes), lost, name]
    };
    let rows: Vec<Vec<String>> = cleared.iter().map(row).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text = gophership_units::columns(&[">segment", ">file", ">undelivered", "name"], &rows);
        text.push('\n');
    }
    let bytes: u64 = cleared.iter().map(|one| one.file_bytes).sum();
    let (segments, freed) = (table::count(cleared.len() as u64, "segment"), table::size(bytes));
    // Writing to a string cannot fail.
    let _written = if is_dry_run {
        writeln!(text, "{segments} would be deleted, {freed} freed; nothing was changed")
    } else {
        writeln!(text, "{segments} deleted, {freed} freed")
    };
    text
}

fn document(cleared: &[Cleared], is_dry_run: bool) -> Value {
    let one = |one: &Cleared| {
        json!({
            "segment": one.id.get(),
            "path": one.path.display().to_string(),
            "file_bytes": one.file_bytes,
            "undelivered_requests": one.undelivered_records,
        })
    };
    json!({
        "dry_run": is_dry_run,
        "freed_bytes": cleared.iter().map(|one| one.file_bytes).sum::<u64>(),
        "segments": cleared.iter().map(one).collect::<Vec<_>>(),
    })
}

pub(super) fn hold(args: &HoldArgs) -> Result<u8, Failure> {
    let dir = args.place.find_whole()?.dir;
    let hold = Hold::new(&args.name, args.segments);
    gophership_vault::place_hold(&dir, &hold)?;
    // What retention deleted before the hold was there is not in this list.
    let survey = Survey::take(&dir)?;
    let covered = survey.segments.iter().filter(|one| 0 < one.records && hold.covers(one.id));
    let segments = table::count(covered.count() as u64, "segment");
    say(&format!("hold {} keeps {segments} of {}\n", args.name, dir.display()))?;
    Ok(0)
}

pub(super) fn release(args: &ReleaseArgs) -> Result<u8, Failure> {
    let dir = args.place.find_whole()?.dir;
    if gophership_vault::release_hold(&dir, &args.name)? == 0 {
        let text =
            format!("there is no hold {:?}; `gophership vault ls` lists the holds", args.name);
        return Err(Failure { code: exit::NO_INPUT, text });
    }
    say(&format!("released hold {}\n", args.name))?;
    Ok(0)
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

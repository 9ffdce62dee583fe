//! `gophership vault ls`: what is in a vault.

use std::fmt::Write as _;
use std::io;
use std::io::Write as _;
use std::path::Path;

use gophership_units::unix_ns;
use serde_json::Value;
use serde_json::json;

use gophership::event::Note;
use gophership::ledger::RemovedLetters;
use gophership_otlp::Signal;
use gophership_vault::Hold;
use gophership_vault::SegmentSurvey;
use gophership_vault::Survey;
use gophership_vault::SurveyState;
use gophership_vault::WriterPresence;

use super::Failure;
use super::archive_ls;
use super::args::FilterArgs;
use super::args::LsArgs;
use super::args::OutputFormat;
use super::place::DEAD_LETTERS;
use super::place::VaultTarget;
use super::progress::Progress;
use super::records::Records;
use super::table;
use super::when;

pub(super) fn run(args: &LsArgs) -> Result<u8, Failure> {
    let target = args.place.find(args.deadletter)?;
    if args.requests {
        return list_requests(&target, args.output);
    }
    if let Some(archive) = &target.archive {
        return archive_ls::run(archive, args.output);
    }
    let mut survey = Survey::take(&target.dir)?;
    if let Some(only) = target.segment {
        survey.segments.retain(|segment| segment.id == only);
    }
    let dead = dead_letters(&target.dir)?;
    let now = unix_ns();
    table::print(
        args.output,
        || text(&survey, dead.as_ref(), now),
        || document(&survey, dead.as_ref()),
    )?;
    Ok(0)
}

fn dead_letters(dir: &Path) -> Result<Option<Survey>, Failure> {
    let folder = dir.join(DEAD_LETTERS);
    if !gophership_vault::is_vault(&folder) {
        return Ok(None);
    }
    let (mut survey, removed) = (Survey::take(&folder)?, RemovedLetters::read(&folder)?);
    for segment in &mut survey.segments {
        let gone = removed.count_in(segment.first_seq, segment.last_seq);
        segment.records = segment.records.saturating_sub(gone);
    }
    Ok(Some(survey))
}

/// The name of a state.
fn state(state: SurveyState) -> &'static str {
    match state {
        SurveyState::Spare => "spare",
        SurveyState::Open => "open",
        SurveyState::Sealed => "sealed",
        SurveyState::Quarantined => "quarantined",
        SurveyState::Damaged => "damaged",
    }
}

/// Sums over all segments.
#[derive(Default)]
struct Totals {
    records: u64,
    raw_bytes: u64,
    stored_bytes: u64,
    file_bytes: u64,
}

fn totals(survey: &Survey) -> Totals {
    let mut totals = Totals::default();
    for segment in &survey.segments {
        totals.records += segment.records;
        totals.raw_bytes += segment.raw_bytes;
        totals.stored_bytes += segment.stored_bytes;
        totals.file_bytes += segment.file_bytes;
    }
    totals
}

/// Raw bytes for each stored byte, in hundredths.
fn ratio(raw_bytes: u64, stored_bytes: u64) -> String {
    match (u128::from(raw_bytes) * 100).checked_div(u128::from(stored_bytes)) {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

fn covered(hold: &Hold) -> String {
    match hold.segments {
        None => "all segments".to_owned(),
        Some((first, u64::MAX)) => format!("segments {first} and later"),
        Some((first, last)) => format!("segments {first} to {last}"),
    }
}

fn row(segment: &SegmentSurvey, now: u64) -> Vec<String> {
    let has_records = 0 < segment.records;
    let seq = |seq: u64| if has_records { seq.to_string() } else { "-".to_owned() };
    let delivered = match (has_records, segment.is_delivered) {
        (false, _) => "-",
        (true, true) => "yes",
        (true, false) => "no",
    };
    vec![
        segment.id.to_string(),
        state(segment.state).to_owned(),
        seq(segment.first_seq),
        seq(segment.last_seq),
        segment.records.to_string(),
        table::size(segment.raw_bytes),
        table::size(segment.stored_bytes),
        ratio(segment.raw_bytes, segment.stored_bytes),
        table::size(segment.file_bytes),
        when::age(now, segment.created_unix_ns),
        delivered.to_owned(),
        if segment.held_by.is_empty() { "-".to_owned() } else { segment.held_by.join(",") },
    ]
}

fn text(survey: &Survey, dead: Option<&Survey>, now: u64) -> String {
    let head = [
        ">segment",
        "state",
        ">first",
        ">last",
        ">requests",
        ">raw",
        ">stored",
        ">ratio",
        ">file",
        ">age",
        "delivered",
        "held by",
    ];
    let rows: Vec<Vec<String>> = survey.segments.iter().map(|one| row(one, now)).collect();
    let mut text = gophership_units::columns(&head, &rows);
    let totals = totals(survey);
    let (raw, stored) = (table::size(totals.raw_bytes), table::size(totals.stored_bytes));
    // Writing to a string cannot fail.
    let _written = writeln!(
        text,
        "\n{} in {}, {raw} raw, {stored} stored, {} of disk",
        table::count(totals.records, "request"),
        table::count(survey.segments.len() as u64, "segment"),
        table::size(totals.file_bytes),
    );
    if !survey.cursors.is_empty() {
        let row = |cursor: &gophership_vault::CursorSurvey| {
            let note = if cursor.is_damaged { "damaged" } else { "" };
            vec![
                cursor.name.clone(),
                cursor.low_seq.to_string(),
                cursor.backlog_records.to_string(),
                note.to_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = survey.cursors.iter().map(row).collect();
        text.push('\n');
        text.push_str(&gophership_units::columns(&["cursor", ">passed", ">backlog", ""], &rows));
    }
    for hold in &survey.holds {
        let _written = writeln!(text, "\nhold {}: {}", hold.name, covered(hold));
    }
    if let Some(dead) = dead {
        let totals = self::totals(dead);
        let records = table::count(totals.records, "request");
        let size = table::size(totals.raw_bytes);
        let _written = writeln!(text, "\ndead letters: {records}, {size} raw (see --deadletter)");
    }
    let writer = match survey.writer {
        WriterPresence::Absent => "no server".to_owned(),
        WriterPresence::Present(None) => "a running server".to_owned(),
        WriterPresence::Present(Some(pid)) => format!("process {pid}"),
    };
    let _written = writeln!(text, "\nused by: {writer}");
    text
}

fn document(survey: &Survey, dead: Option<&Survey>) -> Value {
    let segment = |one: &SegmentSurvey| {
        json!({
            "segment": one.id.get(),
            "state": state(one.state),
            "path": one.path.display().to_string(),
            "first_seq": one.first_seq,
            "last_seq": one.last_seq,
            "requests": one.records,
            "raw_bytes": one.raw_bytes,
            "stored_bytes": one.stored_bytes,
            "file_bytes": one.file_bytes,
            "created": when::show(one.created_unix_ns),
            "last_received": when::show(one.last_received_unix_ns),
            "delivered": one.is_delivered,
            "held_by": one.held_by,
        })
    };
    let cursor = |one: &gophership_vault::CursorSurvey| {
        json!({
            "name": one.name,
            "low_seq": one.low_seq,
            "backlog_requests": one.backlog_records,
            "damaged": one.is_damaged,
        })
    };
    let hold = |one: &Hold| {
        json!({
            "name": one.name,
            "first_segment": one.segments.map(|(first, _)| first),
            "last_segment": one.segments.map(|(_, last)| last),
        })
    };
    let sums = |survey: &Survey| {
        let totals = totals(survey);
        json!({
            "segments": survey.segments.len(),
            "requests": totals.records,
            "raw_bytes": totals.raw_bytes,
            "stored_bytes": totals.stored_bytes,
            "file_bytes": totals.file_bytes,
        })
    };
    let (is_in_use, pid) = match survey.writer {
        WriterPresence::Absent => (false, None),
        WriterPresence::Present(pid) => (true, pid),
    };
    json!({
        "path": survey.dir.display().to_string(),
        "vault_id": survey.vault_id.map(|id| format!("{id:032x}")),
        "in_use": is_in_use,
        "in_use_by": pid,
        "segments": survey.segments.iter().map(segment).collect::<Vec<_>>(),
        "cursors": survey.cursors.iter().map(cursor).collect::<Vec<_>>(),
        "holds": survey.holds.iter().map(hold).collect::<Vec<_>>(),
        "totals": sums(survey),
        "dead_letters": dead.map(sums),
    })
}

/// What was stored as text as a terminal may show it, whatever it is.
fn printable(text: &str, len_max: usize) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(len_max).map(shown).collect()
}

/// Lists requests as they are read: as a table, as one JSON array or as YAML items.
fn list_requests(target: &VaultTarget, output: OutputFormat) -> Result<u8, Failure> {
    let mut records = Records::open(target, &FilterArgs::default())?;
    let mut progress = Progress::new(true);
    let mut out = io::BufWriter::new(io::stdout().lock());
    if output == OutputFormat::Table {
        let head = ("seq", "received", "signal", "records", "bytes", "source", "place");
        let (seq, received, signal, number, bytes, source, place) = head;
        writeln!(
            out,
            "{seq:>10}  {received:<24}  {signal:<7}  {number:>8}  {bytes:>10}  {source:<12}  {place}"
        )?;
    }
    let mut separator = if output == OutputFormat::Json { "[\n" } else { "" };
    while let Some((record, place)) = records.next_placed(&mut progress)? {
        let note = Note::read(&record.attrs);
        let signal = Signal::from_u8(record.signal).map_or("unknown", Signal::name);
        let received = when::show(record.received_unix_ns);
        let place = format!("{}:{}", place.0, place.1);
        let bytes = record.payload.len();
        match output {
            OutputFormat::Table => {
                let number = note.records;
                let seq = record.seq;
                let source = printable(note.source.as_deref().unwrap_or("-"), 64);
                let because = note.reason().map_or_else(String::new, |reason| {
                    format!("  because {}", printable(reason, 120))
                });
                writeln!(
                    out,
                    "{seq:>10}  {received:<24}  {signal:<7}  {number:>8}  {bytes:>10}  {source:<12}  {place}{because}"
                )?;
            }
            OutputFormat::Json | OutputFormat::Yaml => {
                let line = json!({
                    "seq": record.seq, "received": received, "signal": signal,
                    "records": note.records, "bytes": bytes, "source": note.source, "headers": note.headers,
                    "place": place,
                });
                // A JSON object on one line is an item of YAML too.
                let item = if output == OutputFormat::Yaml {
                    format!("- {line}\n")
                } else {
                    line.to_string()
                };
                write!(out, "{separator}{item}")?;
                separator = if output == OutputFormat::Json { ",\n" } else { "" };
            }
        }
    }
    match (output, separator) {
        (OutputFormat::Json, "[\n") | (OutputFormat::Yaml, _) if records.taken() == 0 => {
            writeln!(out, "[]")?;
        }
        (OutputFormat::Json, _) => writeln!(out, "\n]")?,
        _ => {}
    }
    out.flush()?;
    Ok(records.code())
}

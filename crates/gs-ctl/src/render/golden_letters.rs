//! The answers about dead letters are what the committed files say.

use gophership_control::proto;

use super::golden::LONG;
use super::golden::check;
use crate::letters::ListedLetters;

/// A list of dead letters, in sums and one by one.
fn listed_letters(is_each: bool) -> ListedLetters {
    let reason = "INVALID_ARGUMENT: attribute http.status_code must be an integer, not a string";
    let group = proto::LetterGroup {
        vault: "vault".to_owned(),
        sink: "backend".to_owned(),
        reason: reason.to_owned(),
        letters: 12,
        records: 4800,
        bytes: 1_234_567,
        oldest_unix_ms: 1_769_850_000_000,
        newest_unix_ms: 1_769_860_500_000,
        sink_is_gone: false,
    };
    let sink = LONG.to_owned();
    let other = proto::LetterGroup { sink, letters: 1, sink_is_gone: true, ..group.clone() };
    let redrive = proto::Redrive { done: false, ..redrive_at_work() };
    ListedLetters {
        is_each,
        groups: vec![group, other],
        letters: vec![dead_letter(reason)],
        redrives: vec![redrive],
        damaged: 1,
        now_unix_ms: 1_769_860_800_000,
        has_more: true,
    }
}

fn dead_letter(reason: &str) -> proto::DeadLetter {
    proto::DeadLetter {
        id: "vault/3-17".to_owned(),
        vault: "vault".to_owned(),
        sink: "backend".to_owned(),
        source: "otlp".to_owned(),
        signal: "logs".to_owned(),
        records: 400,
        bytes: 102_880,
        reason: reason.to_owned(),
        refused_unix_ms: 1_769_850_000_000,
        received_unix_ms: 1_769_840_000_000,
    }
}

fn redrive_at_work() -> proto::Redrive {
    proto::Redrive {
        vault: "vault".to_owned(),
        letters: 1200,
        records: 480_000,
        delivered_letters: 1100,
        delivered_records: 440_000,
        refused_letters: 7,
        refused_records: 2800,
        failed_letters: 1,
        failed_records: 400,
        done: true,
        stopped: String::new(),
    }
}

#[test]
fn dead_letters_are_what_their_files_say() {
    check("dead_letters_ls_none", |format| super::letters(&ListedLetters::default(), format));
    let mut listed = listed_letters(false);
    check("dead_letters_ls_long", |format| super::letters(&listed, format));
    "archive".clone_into(&mut listed.groups[1].sink);
    check("dead_letters_ls", |format| super::letters(&listed, format));
    check("dead_letters_ls_each", |format| super::letters(&listed_letters(true), format));
    let letter = dead_letter("INVALID_ARGUMENT: no such tenant");
    let content = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5"}]}]}]}"#;
    check("dead_letters_show", |format| super::letter(&letter, content, format));
    let mut answer = proto::RedriveDeadLettersResponse::default();
    check("dead_letters_redrive_none", |format| super::redrives(&answer, false, format));
    let stopped = "the replay of the vault was stopped".to_owned();
    let second = proto::Redrive { vault: "cold".to_owned(), stopped, ..redrive_at_work() };
    answer.redrives = vec![redrive_at_work(), second];
    check("dead_letters_redrive", |format| super::redrives(&answer, false, format));
    check("dead_letters_redrive_dry_run", |format| super::redrives(&answer, true, format));
    let answer = proto::DropDeadLettersResponse { letters: 12, records: 4800, ends: Vec::new() };
    check("dead_letters_drop", |format| super::dropped(&answer, false, format));
    check("dead_letters_drop_dry_run", |format| super::dropped(&answer, true, format));
    let asked = "Delete 12 letters, 4,800 records? They cannot be delivered afterwards.";
    assert_eq!(super::drop_question(&answer), asked);
}

//! The names of files that were begun anew, and which of them are deleted.
//!
//! `NAME.SECONDS.NANOSECONDS`, with nine digits of nanoseconds. A new name is always later than any
//! other one beside it, whatever the clock says, so that the names sort as the files were written.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Later times are no names of ours: they leave room for more of them.
const SECONDS_DIGITS_MAX: usize = 11;
const NANOS_DIGITS: usize = 9;

/// The name for a file that ends now: the time, or what comes right after the latest one there is.
///
/// # Errors
///
/// When the directory cannot be read.
pub(super) fn next_name(path: &Path, now: Duration) -> io::Result<PathBuf> {
    let latest = files(path)?.pop();
    let after = |(time, _): (Duration, _)| time + Duration::from_nanos(1);
    let time = latest.map_or(now, |latest| now.max(after(latest)));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{:09}", time.as_secs(), time.subsec_nanos()));
    Ok(path.with_file_name(name))
}

/// Deletes the oldest files beyond the number to keep; 0 keeps all.
///
/// # Errors
///
/// The first file that cannot be deleted; it is tried again at the next rotation.
pub(super) fn prune(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let old = files(path)?;
    let surplus = old.len().saturating_sub(keep);
    old.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

/// The files that are ours, oldest first.
fn files(path: &Path) -> io::Result<Vec<(Duration, PathBuf)>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let time = entry.file_name().to_str().and_then(|file| time_of(file.strip_prefix(&name)?));
        if let Some(time) = time
            && entry.file_type()?.is_file()
        {
            found.push((time, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads `.SECONDS.NANOSECONDS`, in exactly the form in which it is written.
fn time_of(suffix: &str) -> Option<Duration> {
    let (seconds, nanos) = suffix.strip_prefix('.')?.split_once('.')?;
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = (1..=SECONDS_DIGITS_MAX).contains(&seconds.len())
        && (seconds == "0" || !seconds.starts_with('0'))
        && nanos.len() == NANOS_DIGITS
        && are_digits(seconds)
        && are_digits(nanos);
    if !is_ours {
        return None;
    }
    Some(Duration::new(seconds.parse().ok()?, nanos.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn only_names_of_our_own_form_are_deleted_in_the_order_of_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let foreign = [
            "x.jsonl.1",
            "x.jsonl.20261129",
            "x.jsonl.5.6",
            "x.jsonl.007.000000001",
            "x.jsonl.123456789012.000000001",
            "x.jsonl.1.000000001.gz",
            "x.jsonl..000000001",
            "x.jsonl.+1.000000001",
            "y.jsonl.1.000000001",
        ];
        let ours = ["x.jsonl.9.000000001", "x.jsonl.10.000000000", "x.jsonl.1764000000.123456789"];
        for name in foreign.iter().chain(&ours) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("x.jsonl.1.000000002")).unwrap();
        prune(&path, 2).unwrap();
        let left = names(dir.path());
        assert!(foreign.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
        assert!(!left.contains(&ours[0].to_owned()), "9 is before 10");
        assert!(left.contains(&ours[1].to_owned()) && left.contains(&ours[2].to_owned()));
        assert!(left.contains(&"x.jsonl.1.000000002".to_owned()), "a directory is not ours");
    }

    #[test]
    fn a_new_name_is_later_than_all_others_even_if_the_clock_was_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let now = Duration::from_secs(1_700_000_000);
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let first = next_name(&path, now).unwrap();
        assert_eq!(name(first.clone()), "x.jsonl.1700000000.000000000");
        fs::write(first, "").unwrap();
        assert_eq!(name(next_name(&path, now).unwrap()), "x.jsonl.1700000000.000000001");
        fs::write(dir.path().join("x.jsonl.3300000000.999999999"), "").unwrap();
        let next = next_name(&path, now).unwrap();
        assert_eq!(name(next.clone()), "x.jsonl.3300000001.000000000");
        fs::write(next, "").unwrap();
        prune(&path, 1).unwrap();
        assert_eq!(names(dir.path()), ["x.jsonl.3300000001.000000000"], "what was written last");
    }
}

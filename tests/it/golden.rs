//! Golden files: `UPDATE_GOLDEN=1 cargo test` rewrites them, review reads the difference.

use std::fs;
use std::path::Path;

/// Compares `actual` with the committed file at `path`, relative to the repository.
pub(crate) fn check(path: &str, actual: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&full).unwrap_or_default();
    assert!(
        expected == actual,
        "{path} is not what it should be; UPDATE_GOLDEN=1 rewrites it. It should be:\n{actual}"
    );
}

/// As [`check`], of a file that is no text.
pub(crate) fn check_bytes(path: &str, actual: &[u8]) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&full, actual).unwrap();
        return;
    }
    let expected = fs::read(&full).unwrap_or_default();
    assert!(expected == actual, "{path} is not what it should be; UPDATE_GOLDEN=1 rewrites it");
}

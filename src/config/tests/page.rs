//! The reference page of the website is what the options say of themselves.

use std::fs;
use std::path::Path;

use crate::component::list;
use crate::config::reference;

/// Scenario: the page is generated anew.
/// Guarantees: it lists every component, and the committed one is exactly that;
/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_reference_page_lists_every_option() {
    let page = reference();
    for info in list() {
        assert!(page.contains(&format!("### `{}`", info.name)), "{}", info.name);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("website/configuration.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "website/configuration.md is old; UPDATE_GOLDEN=1 rewrites it");
}

//! The reference pages of the website are what the options say of themselves.

use std::fs;
use std::path::Path;

use crate::config::schema::reference;

/// Between these lines the page of a component has its options.
const BEGIN: &str = "<!-- generated: options -->\n";
const END: &str = "<!-- end -->\n";
/// What every page of a component has.
const PARTS: [&str; 5] =
    ["Minimal example", "Full example", "Options", "Metrics", "When something fails"];

/// Compares a page of the website with what it should be; `UPDATE_GOLDEN=1` writes it.
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("website").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == expected, "website/{name} is old; UPDATE_GOLDEN=1 rewrites it");
}

/// Scenario: the pages are generated anew.
/// Guarantees: settings and shared options have their pages, every component has one with a link to
/// it and its own options, and the committed pages are exactly that; `UPDATE_GOLDEN=1` writes them.
#[test]
fn the_reference_pages_list_every_option() {
    let reference = reference();
    check("configuration.md", &reference.settings);
    check("components/common.md", &reference.shared);
    assert!(reference.shared.contains("| `buffer.bytes` |"), "{}", reference.shared);
    for (info, table) in reference.components {
        let name = format!("components/{}/{}.md", info.section.key(), info.name);
        assert!(reference.settings.contains(&format!("]({name}) | {}", info.summary)), "{name}");
        assert!(!table.contains("| `buffer.bytes` |"), "{name} repeats a shared option");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("website").join(&name);
        let page = fs::read_to_string(path).unwrap_or_default();
        let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(END)?;
            Some((before, after))
        });
        for part in PARTS {
            assert!(page.contains(&format!("\n## {part}\n")), "website/{name} has no `{part}`");
        }
        let Some((before, after)) = parts else {
            panic!("website/{name} needs a line `{}` and one `{}`", BEGIN.trim(), END.trim());
        };
        check(&name, &format!("{before}{BEGIN}{table}{END}{after}"));
    }
}

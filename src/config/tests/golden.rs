//! Typical mistakes and the messages they get, kept as files.
//!
//! `UPDATE_GOLDEN=1 cargo test golden` rewrites the messages; the review reads the difference.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::config::schema;
use crate::config::schema::COMPRESSED_PATH;
use crate::config::schema::generate;
use crate::config::tests::load;

/// The folder of the golden files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/golden")
}

/// Compares a text with its golden file, or rewrites the file.
fn check(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, text).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    assert!(golden == text, "{name} differs; got:\n{text}\nexpected:\n{golden}");
}

#[test]
fn typical_mistakes_get_messages_worth_reading() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(10 <= names.len(), "{names:?}");
    for name in names {
        let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        let errors = load(&text).map(|_| ()).expect_err(&name);
        check(&folder().join(format!("{name}.txt")), &format!("{errors}\n"));
    }
}

/// Scenario: the schema is generated from the options.
/// Guarantees: the committed file is exactly that (`UPDATE_GOLDEN=1` writes it), and the program prints the same.
#[test]
fn the_schema_covers_the_whole_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(&generate()).unwrap());
    check(&root.join("website/gophership.schema.json"), &text);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // The program has it from its next build on.
        let compressed = zstd::encode_all(text.as_bytes(), 19).unwrap();
        fs::write(root.join(COMPRESSED_PATH), compressed).unwrap();
    } else {
        assert_eq!(String::from_utf8(schema().unwrap()).unwrap(), text);
    }
}

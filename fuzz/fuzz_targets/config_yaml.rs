//! Any text as a configuration: it is loaded, or every problem has a place in the text and words for it.
#![no_main]

use gophership::config::load_text;

/// Variables of the environment: one that is set, and one that is empty.
fn environment(name: &str) -> Option<String> {
    match name {
        "A" => Some("otlp".to_owned()),
        "E" => Some(String::new()),
        _ => None,
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load_text("fuzz.yaml", text, &environment) {
        Ok(config) => {
            let shown = config.shown().to_string();
            assert!(!shown.is_empty());
        }
        Err(errors) => {
            // However a line may end: one too many is no matter.
            let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            assert!(!errors.as_slice().is_empty(), "refused without a reason");
            for error in errors.as_slice() {
                let (line, column) = (error.line as usize, error.column);
                assert!((1..=lines + 1).contains(&line) && 1 <= column, "{error} of {lines} lines");
                assert!(!error.to_string().is_empty());
            }
        }
    }
});

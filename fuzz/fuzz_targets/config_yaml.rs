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
            let lines: Vec<&str> = text.split('\n').collect();
            assert!(!errors.as_slice().is_empty(), "refused without a reason");
            for error in errors.as_slice() {
                assert!(
                    (1..=lines.len() + 1).contains(&error.line),
                    "{error}: line of {}",
                    lines.len()
                );
                let columns = lines.get(error.line - 1).map_or(0, |line| line.chars().count());
                assert!((1..=columns + 1).contains(&error.column), "{error}: column of {columns}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
});

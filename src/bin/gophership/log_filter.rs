//! The value of `--log`: which log lines are written.

use tracing_subscriber::EnvFilter;

/// The levels of log lines.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Checks a filter of log lines. A word that is no level names a target, so that a level with a typing
/// error would leave out every line.
pub(crate) fn checked(text: &str) -> Result<String, String> {
    for directive in text.split(',').map(str::trim) {
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && !LEVELS.iter().any(|level| directive.eq_ignore_ascii_case(level)) {
            let near = |level: &&&str| strsim::osa_distance(level, directive) <= 2;
            let hint = LEVELS.iter().find(near);
            let hint = hint.map_or_else(String::new, |level| format!(": did you mean `{level}`"));
            let levels = LEVELS.join(", ");
            return Err(format!(
                "`{directive}` is not a level{hint}. Levels are {levels}; a filter for one part is \
                 written `gophership::delivery=debug`"
            ));
        }
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

//! Which lines are logged, as it can be changed while the process runs.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// Puts a filter in force, or says what is wrong with it.
type Apply = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The filter of the log. Cheap to clone.
#[derive(Clone)]
pub struct LogFilter {
    text: Arc<Mutex<String>>,
    apply: Arc<Apply>,
}

impl LogFilter {
    /// The filter in force, and what puts another one in force.
    pub fn new(
        text: &str,
        apply: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { text: Arc::new(Mutex::new(text.to_owned())), apply: Arc::new(apply) }
    }

    /// For a process that does not log through us.
    #[must_use]
    pub fn fixed() -> Self {
        Self::new("", |_| Err("this process has no log of its own".to_owned()))
    }

    /// The filter in force, as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.text.lock().clone()
    }

    /// Puts another filter in force; returns the one before.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the old one stays.
    pub fn set(&self, text: &str) -> Result<String, String> {
        let mut current = self.text.lock();
        (self.apply)(text)?;
        Ok(std::mem::replace(&mut *current, text.to_owned()))
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogFilter").field("text", &self.text()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_refused_changes_nothing() {
        let filter = LogFilter::new("info", |text| {
            if text == "bad" { Err("no filter".to_owned()) } else { Ok(()) }
        });
        assert_eq!(filter.set("bad"), Err("no filter".to_owned()));
        assert_eq!(filter.text(), "info");
        assert_eq!(filter.set("debug"), Ok("info".to_owned()));
        assert_eq!(filter.text(), "debug");
    }
}

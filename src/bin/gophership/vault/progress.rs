//! A line on the terminal that says how far long work is. Never on a pipe.

use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

const REDRAW_EVERY: Duration = Duration::from_millis(100);
const BAR_LEN: u64 = 24;

/// Draws progress on standard error.
pub(crate) struct Progress {
    is_shown: bool,
    is_drawn: bool,
    started: Instant,
    next: Instant,
}

impl Progress {
    /// Starts; nothing is drawn unless standard error is a terminal.
    pub(crate) fn new(is_quiet: bool) -> Self {
        let now = Instant::now();
        let is_shown = !is_quiet && std::io::stderr().is_terminal();
        Self { is_shown, is_drawn: false, started: now, next: now + REDRAW_EVERY }
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Tells how far the work is; draws now and then.
    pub(crate) fn show(&mut self, done_bytes: u64, total_bytes: u64) {
        let started = self.started;
        self.tell(|| line(done_bytes, total_bytes, started.elapsed()));
    }

    /// Draws any line, now and then.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if !self.is_shown || now < self.next {
            return;
        }
        self.next = now + REDRAW_EVERY;
        self.is_drawn = true;
        let text = text();
        let _unseen = write!(std::io::stderr().lock(), "\r{text}\x1b[K");
    }
}

/// Takes the line away.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            let _unseen = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64, elapsed: Duration) -> String {
    let total = total.max(done).max(1);
    let filled = usize::try_from(u128::from(done) * u128::from(BAR_LEN) / u128::from(total));
    let bar = format!("{:<24}", "#".repeat(filled.unwrap_or(0)));
    let millis = elapsed.as_millis().max(1);
    let rate = u64::try_from(u128::from(done) * 1000 / millis).unwrap_or(u64::MAX);
    let left = (total - done).checked_div(rate).map_or_else(|| "-".to_owned(), |s| format!("{s}s"));
    let size = super::table::size;
    format!("[{bar}] {} of {}, {}/s, {left} left", size(done), size(total), size(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let text = line(512 << 20, 1 << 30, Duration::from_secs(2));
        assert_eq!(text, "[############            ] 512MiB of 1.0GiB, 256MiB/s, 2s left");
        assert_eq!(line(0, 0, Duration::ZERO), "[                        ] 0B of 1B, 0B/s, - left");
    }
}

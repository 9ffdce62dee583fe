//! Numbers and bars as the screen of `top` has them, short enough for a column.

use gophership_control::proto;

/// A whole number with a unit of thousands: `950`, `12.3k`, `4.5M`.
pub(super) fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", "k", "M", "G", "T"])
}

/// Bytes in binary units: `512B`, `1.5KiB`.
pub(super) fn bytes(value: u64) -> String {
    scaled(real(value), 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while step <= value && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let name = units.get(unit).unwrap_or(&"");
    let is_short = unit == 0 && value.fract() == 0.0 || 100.0 <= value;
    if is_short { format!("{value:.0}{name}") } else { format!("{value:.1}{name}") }
}

/// A time with its two largest units: `12s`, `3m 20s`, `2h 5m`, `4d 3h`.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A bar of `width` characters, of which a share is filled, and the share in percent.
pub(super) fn bar(permille: u64, width: usize) -> String {
    let filled = usize::try_from(permille.min(1000)).unwrap_or(0) * width / 1000;
    let (done, rest) = ("#".repeat(filled), ".".repeat(width - filled));
    format!("[{done}{rest}] {:>3}%", permille / 10)
}

/// How full something is, in thousandths.
pub(super) fn permille(used: u64, limit: u64) -> u64 {
    let share = u128::from(used) * 1000 / u128::from(limit.max(1));
    u64::try_from(share).unwrap_or(1000).min(1000)
}

/// The zones of the last 15 minutes in `width` characters, the newest at the end: each is the worst of its time.
pub(super) fn zone_strip(spans: &[proto::ZoneSpan], width: usize) -> Vec<proto::Zone> {
    const SECONDS: usize = 15 * 60;
    let mut seconds = Vec::with_capacity(SECONDS);
    for span in spans {
        let zone = span.zone();
        seconds.extend(std::iter::repeat_n(
            zone,
            usize::try_from(span.seconds).unwrap_or(SECONDS).min(SECONDS),
        ));
    }
    let known = seconds.len().min(SECONDS);
    let from = seconds.len() - known;
    let mut strip = vec![proto::Zone::Unspecified; width];
    for (idx, zone) in seconds[from..].iter().enumerate() {
        let at = (SECONDS - known + idx) * width / SECONDS;
        if let Some(cell) = strip.get_mut(at) {
            *cell = (*cell).max(*zone);
        }
    }
    strip
}

#[expect(clippy::cast_precision_loss, reason = "a number is shown with three digits")]
pub(super) const fn real(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 950.0, 1.25, 12_345.0, 4_500_000.0].map(count),
            ["0", "950", "1.2", "12.3k", "4.5M"]
        );
        assert_eq!([0, 512, 1536, 200 << 20].map(bytes), ["0B", "512B", "1.5KiB", "200MiB"]);
        assert_eq!([5, 200, 7500, 356_400].map(duration), ["5s", "3m 20s", "2h 5m", "4d 3h"]);
        assert_eq!(bar(455, 10), "[####......]  45%");
        assert_eq!(permille(1, 0), 1000);
    }

    #[test]
    fn a_strip_shows_the_worst_of_each_time_with_the_newest_at_the_end() {
        use proto::Zone::{Green, Red, Unspecified};
        let span = |zone: proto::Zone, seconds| proto::ZoneSpan { zone: zone.into(), seconds };
        let spans = [span(Green, 60), span(Red, 1), span(Green, 29)];
        let strip = zone_strip(&spans, 30);
        assert_eq!(strip[..27], [Unspecified; 27]);
        assert_eq!(strip[27..], [Green, Green, Red]);
        let long = [span(Red, 5000), span(Green, 900)];
        assert_eq!(zone_strip(&long, 3), [Green; 3]);
    }
}

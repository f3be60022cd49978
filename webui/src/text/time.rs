//! Durations and moments in words. Times are the master's, in UTC, to the second.

use model::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// A duration: `59s`, `4m 05s`, `2h 03m`, `3d 04h`.
///
/// ```
/// assert_eq!(webui::text::dur(245), "4m 05s");
/// ```
pub fn dur(seconds: u64) -> String {
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m {:02}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d {:02}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// A duration for narrow places: seconds matter only below ten minutes.
pub fn brief(seconds: u64) -> String {
    match seconds {
        600..HOUR => format!("{}m", seconds / MINUTE),
        _ => dur(seconds),
    }
}

/// A duration to the minute, for estimates: `1 h 5 min`, `12 min`.
pub fn words(seconds: u64) -> String {
    let (hours, minutes) = (seconds / HOUR, seconds % HOUR / MINUTE);
    match (hours, minutes) {
        (0, m) => format!("{m} min"),
        (h, 0) => format!("{h} h"),
        (h, m) => format!("{h} h {m} min"),
    }
}

/// How long ago something was: `12 s ago`, `5 min ago`, `3 h ago`, `4 d ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.seconds_since(then) {
        s @ 0..90 => format!("{s} s ago"),
        s @ 90..5400 => format!("{} min ago", s / MINUTE),
        s @ 5400..DAY => format!("{} h ago", s / HOUR),
        s => format!("{} d ago", s / DAY),
    }
}

fn format(time: Timestamp, pattern: &str) -> String {
    match jiff::Timestamp::from_second(time.0) {
        Ok(t) => t.strftime(pattern).to_string(),
        Err(_) => time.0.to_string(),
    }
}

/// The time of day: `15:12`.
pub fn clock(time: Timestamp) -> String {
    format(time, "%H:%M")
}

/// Date and time to the second: `Mon 23 Nov 2026 15:12:00`.
pub fn stamp(time: Timestamp) -> String {
    format(time, "%a %-d %b %Y %H:%M:%S")
}

/// Time of day, with the date once it is older than 20 hours, with the year once it is
/// older than 300 days: `15:12`, `22 Nov 15:12`, `22 Nov 2025`.
pub fn short(time: Timestamp, now: Timestamp) -> String {
    // A time far ahead, too, needs its date.
    let apart = now.0.abs_diff(time.0);
    match apart {
        0..=72_000 => clock(time),
        72_001..=25_920_000 => format(time, "%-d %b %H:%M"),
        _ => format(time, "%-d %b %Y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_446_720);

    #[test]
    fn durations_are_read_at_a_glance() {
        let table: String = [0, 59, 60, 61, 599, 600, 3599, 3600, 3661, 86_399, 90_061, 700_000]
            .iter()
            .map(|&s| std::format!("{s:>6}  {:<9}{:<9}{}\n", dur(s), brief(s), words(s)))
            .collect();
        insta::assert_snapshot!(table, @r"
             0  0s       0s       0 min
            59  59s      59s      0 min
            60  1m 00s   1m 00s   1 min
            61  1m 01s   1m 01s   1 min
           599  9m 59s   9m 59s   9 min
           600  10m 00s  10m      10 min
          3599  59m 59s  59m      59 min
          3600  1h 00m   1h 00m   1 h
          3661  1h 01m   1h 01m   1 h 1 min
         86399  23h 59m  23h 59m  23 h 59 min
         90061  1d 01h   1d 01h   25 h 1 min
        700000  8d 02h   8d 02h   194 h 26 min
        ");
    }

    #[test]
    fn moments_are_as_exact_as_their_age_asks_for() {
        let table: String = [0, 89, 90, 5399, 5400, 72_000, 72_001, 86_400, 2_000_000, 40_000_000]
            .iter()
            .map(|&s| {
                let then = Timestamp(NOW.0 - s);
                std::format!("{s:>8}  {:<12}{}\n", ago(then, NOW), short(then, NOW))
            })
            .collect();
        insta::assert_snapshot!(table, @r"
               0  0 s ago     15:12
              89  89 s ago    15:10
              90  1 min ago   15:10
            5399  89 min ago  13:42
            5400  1 h ago     13:42
           72000  20 h ago    19:12
           72001  20 h ago    22 Nov 19:11
           86400  1 d ago     22 Nov 15:12
         2000000  23 d ago    31 Oct 11:38
        40000000  462 d ago   17 Aug 2025
        ");
        assert_eq!(stamp(NOW), "Mon 23 Nov 2026 15:12:00");
        assert_eq!(ago(Timestamp(NOW.0 + 60), NOW), "0 s ago", "clocks differ");
    }

    proptest! {
        #[test]
        fn no_time_is_too_odd_to_be_said(t: i64, now: i64, seconds: u64) {
            let (t, now) = (Timestamp(t), Timestamp(now));
            for text in [ago(t, now), short(t, now), stamp(t), clock(t), dur(seconds), brief(seconds), words(seconds)] {
                prop_assert!(!text.is_empty());
            }
        }
    }
}

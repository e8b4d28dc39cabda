//! Numbers as a reader wants them.

use indicatif::HumanCount;

/// `1234567` as `1,234,567`.
pub fn count(number: impl TryInto<u64>) -> String {
    HumanCount(number.try_into().unwrap_or(u64::MAX)).to_string()
}

/// A count with its noun: `1 epoch`, `1,200 epochs`.
pub fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// A share of 1 as `97.21 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Seconds as `0.4 s`, `42 s`, `3 min 20 s` or `2 h 5 min`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".to_owned();
    }
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (0.04, "0.0 s"),
            (9.4, "9.4 s"),
            (42.4, "42 s"),
            (59.6, "1 min 0 s"),
            (200.0, "3 min 20 s"),
            (7_530.0, "2 h 5 min"),
            (f64::INFINITY, "unknown"),
            (f64::NAN, "unknown"),
            (-1.0, "0.0 s"),
        ];
        for (found, expected) in cases {
            assert_eq!(seconds(found), expected, "{found}");
        }
    }

    #[test]
    fn counts_and_shares_are_readable() {
        assert_eq!(count(3_859_318_u64), "3,859,318");
        assert_eq!(
            (counted(1, "epoch"), counted(1200, "step")),
            ("1 epoch".to_owned(), "1,200 steps".to_owned())
        );
        assert_eq!(percent(351.0 / 359.0), "97.77 %");
    }
}

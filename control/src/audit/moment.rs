//! Moments as users write them: RFC 3339, a date, or how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a moment: write RFC 3339 (2026-11-21T09:00:00Z), a date (2026-11-21), or an age (90s, 15m, 24h, 7d)")]
pub struct MomentError;

/// The clock, Unix time in milliseconds.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a moment, Unix time in milliseconds; ages count back from `now_ms`.
pub fn parse(text: &str, now_ms: u64) -> Result<u64, MomentError> {
    if let Some(age_ms) = parse_age(text) {
        return Ok(now_ms.saturating_sub(age_ms));
    }
    let date = text.get(..10).ok_or(MomentError)?;
    let day_ms = parse_date(date)?;
    match text.get(10..).ok_or(MomentError)? {
        "" => u64::try_from(day_ms).map_err(|_| MomentError),
        rest => parse_time(rest).and_then(|time_ms| u64::try_from(day_ms + time_ms).map_err(|_| MomentError)),
    }
}

fn parse_age(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let count = text.strip_suffix(unit)?;
    count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse::<u64>().ok())??.checked_mul(unit_ms)
}

/// `YYYY-MM-DD` as milliseconds since 1970; days from the civil calendar, the year taken to begin in March.
fn parse_date(date: &str) -> Result<i64, MomentError> {
    let bytes = date.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(MomentError);
    }
    let (year, month, day) = (digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return Err(MomentError),
    };
    if !(1..=month_days).contains(&day) {
        return Err(MomentError);
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Ok(days * 86_400_000)
}

/// `THH:MM:SS[.fraction](Z|±HH:MM)` as milliseconds of the day, in UTC.
fn parse_time(text: &str) -> Result<i64, MomentError> {
    let rest = text.strip_prefix(['T', 't', ' ']).ok_or(MomentError)?;
    let clock = rest.get(..8).ok_or(MomentError)?;
    let bytes = clock.as_bytes();
    if bytes[2] != b':' || bytes[5] != b':' {
        return Err(MomentError);
    }
    let field = |range: std::ops::Range<usize>| clock.get(range).ok_or(MomentError).and_then(digits);
    let (hour, minute, second) = (field(0..2)?, field(3..5)?, field(6..8)?);
    // 60 is a leap second (RFC 3339 section 5.7).
    if hour > 23 || minute > 59 || second > 60 {
        return Err(MomentError);
    }
    let mut zone = rest.get(8..).ok_or(MomentError)?;
    let mut millis = 0;
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        let (shown, after) = fraction.split_at(end);
        if shown.is_empty() {
            return Err(MomentError);
        }
        millis = digits(&format!("{shown:0<3}")[..3])?;
        zone = after;
    }
    Ok(((hour * 60 + minute) * 60 + second) * 1000 + millis - parse_zone(zone)?)
}

fn parse_zone(zone: &str) -> Result<i64, MomentError> {
    if matches!(zone, "Z" | "z") {
        return Ok(0);
    }
    let (sign, offset) = match zone.split_at_checked(1).ok_or(MomentError)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return Err(MomentError),
    };
    let (hours, minutes) = offset.split_once(':').ok_or(MomentError)?;
    if hours.len() != 2 || minutes.len() != 2 {
        return Err(MomentError);
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return Err(MomentError);
    }
    Ok(sign * (hours * 60 + minutes) * 60_000)
}

fn digits(text: &str) -> Result<i64, MomentError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MomentError);
    }
    text.parse().map_err(|_| MomentError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_core::audit::timestamp;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        for moment in [0, 951_782_400_000, 1_795_305_599_999, 4_107_542_400_000] {
            assert_eq!(parse(&timestamp(moment), 0), Ok(moment));
        }
    }

    #[test]
    fn zones_fractions_dates_and_ages() {
        let noon = parse("2026-11-21T12:00:00Z", 0).unwrap();
        assert_eq!(parse("2026-11-21T13:30:00+01:30", 0), Ok(noon));
        assert_eq!(parse("2026-11-21t07:00:00.000-05:00", 0), Ok(noon));
        assert_eq!(parse("2026-11-21 12:00:00.1239Z", 0), Ok(noon + 123));
        assert_eq!(parse("2026-11-21", 0), Ok(noon - 12 * 3_600_000));
        assert_eq!(parse("15m", 1_000_000), Ok(100_000));
        assert_eq!(parse("7d", 1_000), Ok(0));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "now",
            "m",
            "-1h",
            "2026-02-29",
            "2026-13-01",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:00",
            "é026-11-21",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00+1:00",
            "2026-11-2１",
            "99999999999999999999d",
            "1900-01-01",
            "2026-11-21T12:00:0éZ",
        ] {
            assert_eq!(parse(text, 0), Err(MomentError), "{text:?}");
        }
    }
}

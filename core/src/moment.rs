//! Dates and times of RFC 3339 as Unix time, for whoever reads a moment that a person wrote.
//!
//! The other way is [`timestamp`](crate::audit::timestamp).

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Reads `YYYY-MM-DD` (that day's beginning, UTC), or a date and time with its zone (RFC 3339 section 5.6); Unix time in
/// milliseconds. `None` for anything else, and for what lies before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let day_ms = parse_date(date)?;
    let time_ms = if rest.is_empty() { 0 } else { parse_time(rest)? };
    u64::try_from(day_ms + time_ms).ok()
}

/// Days from the civil calendar, the year taken to begin in March, as milliseconds since 1970.
fn parse_date(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if [year.len(), month.len(), day.len()] != [4, 2, 2] || parts.next().is_some() {
        return None;
    }
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_days).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some(days * 86_400_000)
}

/// `THH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)` as milliseconds of the day, in UTC.
fn parse_time(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['T', 't', ' '])?;
    let (clock, mut zone) = rest.split_at_checked(8)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if [hour.len(), minute.len(), second.len()] != [2; 3] {
        return None;
    }
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    // 60 is a leap second (RFC 3339 section 5.7).
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut millis = 0;
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(fraction.len());
        let (shown, after) = fraction.split_at_checked(end)?;
        if shown.is_empty() {
            return None;
        }
        let places = [100, 10, 1].into_iter().zip(shown.bytes());
        millis = places.map(|(weight, digit)| weight * i64::from(digit - b'0')).sum();
        zone = after;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis - parse_zone(zone)?)
}

fn parse_zone(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, offset) = match zone.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = offset.split_once(':')?;
    if [hours.len(), minutes.len()] != [2, 2] {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 23 && minutes <= 59).then(|| sign * (hours * 60 + minutes) * 60_000)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::timestamp;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        for moment in [0, 951_782_400_000, 1_795_305_599_999, 4_107_542_400_000] {
            assert_eq!(parse(&timestamp(moment)), Some(moment));
        }
    }

    #[test]
    fn zones_fractions_and_dates() {
        let noon = parse("2026-11-21T12:00:00Z").unwrap();
        assert_eq!(parse("2026-11-21T13:30:00+01:30"), Some(noon));
        assert_eq!(parse("2026-11-21t07:00:00.000-05:00"), Some(noon));
        assert_eq!(parse("2026-11-21 12:00:00.1239Z"), Some(noon + 123));
        assert_eq!(parse("2026-11-21T12:00:00.5Z"), Some(noon + 500));
        assert_eq!(parse("2026-11-21"), Some(noon - DAY_MS / 2));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "now",
            "2026-02-29",
            "2026-13-01",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:00",
            "2026-11-21T12-00-00Z",
            "é026-11-21",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00+1:00",
            "2026-11-2１",
            "1900-01-01",
            "2026-11-21T12:00:0éZ",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}

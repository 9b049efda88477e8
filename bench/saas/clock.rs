//! The time of day in the three spellings that the endpoints use, and random identifiers.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// As in a `Date` header (RFC 9110, 5.6.7).
pub(crate) fn http_date() -> String {
    http_date_at(unix_seconds())
}

/// As Entra writes it: `2026-11-21 23:59:01Z`.
pub(crate) fn timestamp() -> String {
    let (date, (hour, minute, second)) = split(unix_seconds());
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}Z", date.year, date.month, date.day)
}

/// A random version 4 UUID (RFC 9562, 5.4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    // A failing generator leaves zeros: the identifier is then worthless but nothing secret hangs on it.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let value = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{value:032x}");
    let mut parts = String::with_capacity(36);
    for (index, digit) in text.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            parts.push('-');
        }
        parts.push(digit);
    }
    parts
}

/// Whether `text` is a UUID in the usual spelling.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
}

fn http_date_at(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, (hour, minute, second)) = split(seconds);
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or_default()
    };
    let (weekday, month) = (name(&DAYS, date.weekday), name(&MONTHS, date.month - 1));
    format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", date.day, date.year)
}

/// Days to a civil date, counting years from March so that the leap day is the last one.
fn split(seconds: u64) -> (Date, (u64, u64, u64)) {
    let days = seconds / 86_400;
    let of_day = seconds % 86_400;
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (Date { year, month, day, weekday: days % 7 }, (of_day / 3_600, of_day / 60 % 60, of_day % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(http_date_at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date_at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date_at(1_709_210_096), "Thu, 29 Feb 2024 12:34:56 GMT");
        assert_eq!(http_date_at(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
    }

    #[test]
    fn identifiers_are_uuids_and_differ() {
        let (first, second) = (uuid(), uuid());
        assert!(is_uuid(&first) && is_uuid(&second), "{first} {second}");
        assert_ne!(first, second);
        assert_eq!(first.as_bytes()[14], b'4');
        assert!(!is_uuid("11111111-2222-3333-4444-55555555555"));
        assert!(!is_uuid("11111111-2222-3333-4444 555555555555"));
    }
}

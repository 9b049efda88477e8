//! Validity periods, and how certificates write them.
//!
//! The clock is the caller's: `now` comes in as Unix seconds.

use super::der::{self, Writer};
use crate::audit::civil_from_days;
use crate::limits::{CERTIFICATE_BACKDATE_SECONDS, LEAF_LIFE_SECONDS};

const DAY_SECONDS: i64 = 86_400;
/// 2050-01-01T00:00:00Z: from here on GeneralizedTime (RFC 5280 section 4.1.2.5).
const GENERALIZED_FROM: i64 = 2_524_608_000;
/// 9999-12-31T23:59:59Z, the last moment a certificate can say.
const LAST: i64 = 253_402_300_799;

/// From and to, both inclusive (RFC 5280 section 4.1.2.5), in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second at which the certificate is valid.
    pub not_before: i64,
    /// Last second at which it is.
    pub not_after: i64,
}

impl Validity {
    /// A period of `life_seconds` from `now`, begun a day earlier for clients whose clock is slow.
    pub const fn from_now(now: i64, life_seconds: i64) -> Self {
        Self { not_before: now - CERTIFICATE_BACKDATE_SECONDS, not_after: now + life_seconds }
    }

    /// A leaf's period: back-dated, days long, and never outside its issuer's.
    pub fn for_leaf(now: i64, issuer: Self) -> Self {
        let wanted = Self::from_now(now, LEAF_LIFE_SECONDS);
        Self { not_before: wanted.not_before.max(issuer.not_before), not_after: wanted.not_after.min(issuer.not_after) }
    }

    /// Whether `moment` lies in the period.
    pub const fn contains(&self, moment: i64) -> bool {
        self.not_before <= moment && moment <= self.not_after
    }

    /// Whether the period is not empty, can be written, and lies in `outer`.
    pub(super) const fn fits(&self, outer: &Self) -> bool {
        0 <= self.not_before
            && self.not_before <= self.not_after
            && self.not_after <= LAST
            && outer.not_before <= self.not_before
            && self.not_after <= outer.not_after
    }

    /// Everything that can be written.
    pub(super) const fn always() -> Self {
        Self { not_before: 0, not_after: LAST }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.nested(der::SEQUENCE, |writer| {
            write_time(writer, self.not_before);
            write_time(writer, self.not_after);
        });
    }
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5); never before 1970.
fn write_time(writer: &mut Writer, moment: i64) {
    let seconds = u64::try_from(moment).unwrap_or(0);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let two = |number: u64| [digit(number / 10), digit(number)];
    let rest = [two(month), two(day), two(hour), two(minute), two(second)];
    let short = moment < GENERALIZED_FROM;
    let tag = if short { der::UTC_TIME } else { der::GENERALIZED_TIME };
    writer.nested(tag, |writer| {
        if !short {
            writer.raw(&two(year / 100));
        }
        writer.raw(&two(year % 100));
        writer.raw(rest.as_flattened());
        writer.raw(b"Z");
    });
}

/// The last decimal digit of `number`.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// Reads what [`write_time`] writes; `None` for any other form.
pub(super) fn read_time(found: der::Element<'_>) -> Option<i64> {
    let (century, rest) = match found.tag {
        der::UTC_TIME => (None, found.content),
        der::GENERALIZED_TIME => {
            let (century, rest) = found.content.split_at_checked(2)?;
            (Some(number(century)?), rest)
        }
        _ => return None,
    };
    let [y1, y2, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = *rest else { return None };
    let short_year = number(&[y1, y2])?;
    let year = century.map_or(if short_year < 50 { 2000 } else { 1900 }, |century| century * 100) + short_year;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// The inverse of `civil_from_days`: March is month 0, so that the leap day ends the year.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Reader;
    use alloc::vec::Vec;

    fn time(moment: i64) -> Vec<u8> {
        let mut writer = Writer::default();
        write_time(&mut writer, moment);
        writer.into_bytes()
    }

    #[test]
    fn times_change_their_form_in_2050() {
        assert_eq!(time(951_782_400), b"\x17\x0d000229000000Z");
        assert_eq!(time(GENERALIZED_FROM - 1), b"\x17\x0d491231235959Z");
        assert_eq!(time(GENERALIZED_FROM), b"\x18\x0f20500101000000Z");
        assert_eq!(time(LAST), b"\x18\x0f99991231235959Z");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for moment in (0..LAST).step_by(86_400 * 97 + 12_345) {
            let der = time(moment);
            assert_eq!(der::element(&mut Reader::new(&der)).and_then(read_time), Some(moment));
        }
        for bad in [&b"\x17\x0d001329000000Z"[..], b"\x17\x0b0002290000Z", b"\x17\x0d0002x9000000Z", b"\x04\x00"] {
            assert_eq!(der::element(&mut Reader::new(bad)).and_then(read_time), None);
        }
    }

    #[test]
    fn a_leaf_stays_inside_its_issuer() {
        let issuer = Validity { not_before: 1_000_000, not_after: 1_900_000 };
        let early = Validity::for_leaf(1_000_100, issuer);
        assert_eq!(early.not_before, 1_000_000);
        assert_eq!(early.not_after, 1_000_100 + LEAF_LIFE_SECONDS);
        assert_eq!(Validity::for_leaf(1_890_000, issuer).not_after, 1_900_000);
        assert_eq!(Validity::for_leaf(1_890_000, issuer).not_before, 1_890_000 - 86_400);
        assert!(!Validity::for_leaf(5_000_000, issuer).fits(&issuer));
    }
}

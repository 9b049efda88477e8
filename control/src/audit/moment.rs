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
    penstock_core::moment::parse(text).ok_or(MomentError)
}

/// Reads a stretch of time (90s, 15m, 24h, 7d), milliseconds.
pub fn parse_age(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_count_back_from_now_and_moments_stand_as_they_are() {
        assert_eq!(parse("15m", 1_000_000), Ok(100_000));
        assert_eq!(parse("7d", 1_000), Ok(0));
        assert_eq!(parse("2026-11-21", 5), Ok(1_795_219_200_000));
        for text in ["", "now", "m", "-1h", "99999999999999999999d", "2026-11-21T12:00:00"] {
            assert_eq!(parse(text, 0), Err(MomentError), "{text:?}");
        }
    }
}

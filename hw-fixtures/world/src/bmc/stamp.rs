//! A BMC's time of day (which may be wrong) as it is written: RFC 3339, and seconds since 1970.
//! Must never feed a decision: times here are only told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_S: i64 = 86_400;

/// RFC 3339 in UTC with whole seconds, as BMCs write it; `offset_s` is the error of the BMC's clock.
pub fn rfc3339(at: SystemTime, offset_s: i64) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(0).saturating_add(offset_s);
    let (days, rest) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+00:00", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 by the BMC's clock, as event logs are stamped; `offset_s` is the error of that clock.
pub fn seconds(at: SystemTime, offset_s: i64) -> u32 {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(0).saturating_add(offset_s).max(0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Date of a day number counted from 1970-01-01 (Gregorian, years count from March so that the leap day is last).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_secs(s), 0);
        assert_eq!(at(0), "1970-01-01T00:00:00+00:00");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00+00:00");
        assert_eq!(at(1_724_434_047), "2024-08-23T17:27:27+00:00");
        assert_eq!(rfc3339(UNIX_EPOCH, -1), "1969-12-31T23:59:59+00:00");
    }
}

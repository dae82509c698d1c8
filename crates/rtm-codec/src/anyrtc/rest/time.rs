//! Times in UTC as ISO 8601 writes them.

/// Milliseconds since the Unix epoch. Digits behind the third of a second's fraction are dropped.
pub(super) fn read(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let time = time.strip_suffix(['Z', 'z']).or_else(|| time.strip_suffix("+00:00"))?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let is_good = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second.
        && second <= 60;
    if !is_good || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let years = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>();
    let months = (1..month).map(|month| days_in(year, month)).sum::<u64>();
    let seconds = (((years + months + day - 1) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1000 + millis)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next().filter(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse().ok()
    };
    let numbers = [next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn times_are_read() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2019-08-01T01:22:10Z"), Some(1_564_622_530_000));
        assert_eq!(read("2022-02-16T08:25:39.488Z"), Some(1_644_999_939_488));
        assert_eq!(read("2024-02-29T23:59:59.1Z"), Some(1_709_251_199_100));
        assert_eq!(read("2022-02-16 08:25:39.488123+00:00"), Some(1_644_999_939_488));
    }

    #[test]
    fn what_is_no_time_in_utc_is_refused() {
        for text in [
            "",
            "2019-08-01",
            "2019-08-01T01:22:10",
            "2019-08-01T01:22:10+08:00",
            "2019-02-29T00:00:00Z",
            "2019-13-01T00:00:00Z",
            "2019-08-01T24:00:00Z",
            "2019-08-01T01:22:10.Z1",
            "1564622530",
            "2019-08-01T01:22:10.1234567890Z",
            "99999-08-01T01:22:10Z",
            "2019-08--1T01:22:10Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

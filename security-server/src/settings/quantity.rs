//! Durations and sizes as people write them: `30s`, `4h`, `10 MiB`.

use std::time::Duration;

/// The longest duration that is accepted: ten years, so that sums of durations never overflow.
const MAX_SECONDS: u64 = 10 * 366 * 86_400;

/// Reads a duration: one or more of a whole number and a unit (`ms`, `s`, `m` or `min`, `h`, `d`),
/// such as `30s`, `1h 30m`, `500ms`.
///
/// # Errors
/// A text for people that says what to write instead.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("is empty; write a duration such as \"30s\", \"5m\" or \"4h\"".to_owned());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest).ok_or_else(|| {
            format!("'{text}' is not a duration; write such as \"30s\" or \"4h\"")
        })?;
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            "" => return Err(format!("'{text}' has no unit; write for example \"{text}s\"")),
            other => {
                return Err(format!(
                    "'{other}' is not a unit of time; there are ms, s, m, h and d"
                ));
            }
        };
        total = u32::try_from(number)
            .ok()
            .and_then(|n| one.checked_mul(n))
            .and_then(|d| total.checked_add(d))
            .filter(|d| d.as_secs() <= MAX_SECONDS)
            .ok_or_else(|| format!("'{text}' is too long; the longest is ten years"))?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// Reads a size in bytes: a whole number and a unit (`B`, `KiB`, `MiB`, `GiB`, `TiB`, or the
/// decimal `kB`, `MB`, `GB`, `TB`), such as `10 MiB`.
///
/// # Errors
/// A text for people that says what to write instead.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let not_a_size = || format!("'{text}' is not a size; write such as \"10 MiB\" or \"64 KiB\"");
    let (number, unit, after) = number_and_unit(text.trim()).ok_or_else(not_a_size)?;
    if !after.is_empty() {
        return Err(not_a_size());
    }
    let one: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err(format!("'{text}' has no unit; write for example \"{text} MiB\"")),
        other => {
            return Err(format!(
                "'{other}' is not a unit of size; there are B, KiB, MiB, GiB, TiB and kB, MB, GB, TB"
            ));
        }
    };
    number
        .checked_mul(one)
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| format!("'{text}' is too large; the largest is 1024 TiB"))
}

/// Splits off a leading whole number and the letters behind it.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.get(..digits)?.parse().ok()?;
    let behind = text.get(digits..)?.trim_start();
    let letters = behind.find(|c: char| c.is_ascii_digit() || c.is_whitespace());
    let (unit, after) = behind.split_at(letters.unwrap_or(behind.len()));
    Some((number, unit, after))
}

/// Writes a duration in the form that [`duration`] reads.
pub(super) fn duration_text(value: Duration) -> String {
    let seconds = value.as_secs();
    match (value.subsec_millis(), seconds) {
        (0, 0) => "0s".to_owned(),
        (0, s) if s % 86_400 == 0 => format!("{}d", s / 86_400),
        (0, s) if s % 3600 == 0 => format!("{}h", s / 3600),
        (0, s) if s % 60 == 0 => format!("{}m", s / 60),
        (0, s) => format!("{s}s"),
        (_, _) => format!("{}ms", value.as_millis()),
    }
}

/// Writes a size in the form that [`size`] reads.
pub(super) fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_that_people_write() {
        for (text, millis) in [
            ("30s", 30_000),
            ("4h", 14_400_000),
            ("1h 30m", 5_400_000),
            ("1h30min", 5_400_000),
            ("500ms", 500),
            ("2 d", 172_800_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
        assert_eq!(duration("30").unwrap_err(), "'30' has no unit; write for example \"30s\"");
        assert!(duration("3 weeks").unwrap_err().contains("'weeks' is not a unit"));
        for bad in ["", " ", "s", "-3s", "1.5h", "99999999999d", "5000d", "18446744073709551616s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_that_people_write() {
        for (text, bytes) in [
            ("10 MiB", 10 << 20),
            ("64KiB", 64 << 10),
            ("8 GiB", 8 << 30),
            ("20 MB", 20_000_000),
            ("1 B", 1),
        ] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "10", "MiB", "10 mib", "10 MiB 5", "-1 B", "99999999 TiB", "1.5 GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_forms_are_read_back(millis in 0..=MAX_SECONDS / 100, bytes in 0..=1u64 << 50) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(value)).unwrap(), value);
            prop_assert_eq!(size(&size_text(bytes)).unwrap(), bytes);
        }

        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}

//! Times: RFC 3339, in UTC, to the second.

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// As [`OffsetDateTime`] displays itself.
const DISPLAYED: &[FormatItem<'_>] = format_description!(
    "[year]-[month]-[day] [hour padding:none]:[minute]:[second].[subsecond] [offset_hour \
     sign:mandatory]:[offset_minute]:[offset_second]"
);
const SHOWN: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A time as people and other programs read it, such as `2026-11-25T08:09:10Z`.
pub fn time(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    time.format(SHOWN).unwrap_or_else(|_| time.to_string())
}

/// A text in which times that stand there as `2026-11-25 8:09:10.0 +00:00:00` are written as [`time()`]
/// writes them.
pub fn times_in(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (shown, length) = displayed(rest).unwrap_or_else(|| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (rest[..digits].to_owned(), digits)
        });
        out.push_str(&shown);
        rest = &rest[length..];
    }
    out + rest
}

/// The time that a text begins with, and how long it is there.
fn displayed(text: &str) -> Option<(String, usize)> {
    let mut words = text.splitn(3, ' ');
    let (day, clock, zone) = (words.next()?, words.next()?, words.next()?);
    const ZONE: usize = "+00:00:00".len();
    let length = day.len() + clock.len() + 2 + zone.get(..ZONE)?.len();
    let parsed = OffsetDateTime::parse(&text[..length], DISPLAYED).ok()?;
    Some((time(parsed), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::time::macros::datetime;

    #[test]
    fn times_are_rfc_3339_to_the_second() {
        assert_eq!(time(datetime!(2026-11-25 8:09:10.123 UTC)), "2026-11-25T08:09:10Z");
        assert_eq!(time(datetime!(2026-11-25 8:09:10 +2)), "2026-11-25T06:09:10Z");
    }

    #[test]
    fn times_in_texts_are_found() {
        for moment in [datetime!(2020-01-01 0:00 UTC), datetime!(2026-11-25 18:09:10.5 UTC)] {
            let text = format!("é 12 valid from {moment}, until {moment} 2020-01-01 only 7");
            let shown = time(moment);
            let wanted = format!("é 12 valid from {shown}, until {shown} 2020-01-01 only 7");
            assert_eq!(times_in(&text), wanted);
        }
        for kept in ["", "1", "2020-01-01 0:00", "2020-01-01 0:00:00.0 +00:00:é", "99 a b", "1 2 3"]
        {
            assert_eq!(times_in(kept), kept);
        }
    }
}

//! Moments as the protocol writes them.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{OffsetDateTime, UtcOffset};

/// Reads ISO 8601 with an offset; seconds may be left out, as Java's parser allows.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    if text.len() > 64 || !text.contains('T') {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::PARSING))
        .ok()
}

/// UTC to the second, e.g. `2026-05-20T17:42:55Z`. `None` outside the years 0 to 9999.
pub(crate) fn format(at: OffsetDateTime) -> Option<String> {
    at.to_offset(UtcOffset::UTC).replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

/// UTC to the millisecond, e.g. `2026-05-20T17:42:55.120Z`.
pub(crate) fn format_milliseconds(at: OffsetDateTime) -> Option<String> {
    let utc = at.to_offset(UtcOffset::UTC);
    let seconds = format(utc)?;
    Some(format!("{}.{:03}Z", seconds.strip_suffix('Z')?, utc.millisecond()))
}

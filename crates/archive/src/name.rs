//! What archives are called, and which records share one (`LogArchiveWriter.getArchiveFilename`,
//! `GroupingStrategy`).

use causeway_identifiers::ClientId;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// The most characters of a group in a name, its dash among them; counted in UTF-16, as Java does.
const MAX_GROUP_UNITS: usize = 200;
/// The longest file name that file systems take, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// How many digits of the last digest are in a name.
const DIGEST_DIGITS: usize = 16;

/// Which records share archives, and so a chain (`archive-grouping`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// All of them.
    #[default]
    None,
    /// Those of a member, whatever its subsystem.
    Member,
    /// Those of a subsystem; those of the member itself are a group too.
    Subsystem,
}

impl Grouping {
    /// The grouping of that name in settings: `none`, `member`, `subsystem`.
    pub fn from_name(name: &str) -> Option<Self> {
        [("none", Self::None), ("member", Self::Member), ("subsystem", Self::Subsystem)]
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, grouping)| grouping)
    }

    /// The name of the group to which records of this client belong; none where all are one group.
    pub fn group_of(self, client: &ClientId) -> Option<String> {
        match self {
            Self::None => None,
            Self::Member => Some(client.member().to_short()),
            Self::Subsystem => Some(client.to_short()),
        }
    }
}

/// The file name of an archive: `mlog-[GROUP-]FIRST-LAST-DIGEST.zip[.gpg]`, with the times of the first
/// and the last record as `yyyyMMddHHmmss` in the zone in which they are given (X-Road takes the server's own)
/// and sixteen digits of the archive's last digest.
///
/// Two things differ from X-Road. White space in a group becomes `_`, since `linkinginfo` names the archive
/// and is split at white space, so that X-Road's own checker stumbles over such a name; and a group is cut
/// short enough for the name to fit into 255 bytes, where X-Road would fail to make the file.
pub fn archive_name(
    group: Option<&str>,
    (first, last): (OffsetDateTime, OffsetDateTime),
    digest: &str,
    encrypted: bool,
) -> String {
    let digest: String = digest.chars().take(DIGEST_DIGITS).collect();
    let suffix = if encrypted { "zip.gpg" } else { "zip" };
    let rest = format!("{}-{}-{digest}.{suffix}", shown(first), shown(last));
    let group = group.map(|group| format!("{}-", escape(group))).unwrap_or_default();
    let group = cut(&group, MAX_NAME_BYTES.saturating_sub("mlog-".len() + rest.len()));
    format!("mlog-{group}{rest}")
}

/// What the file name of an archive says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveName {
    /// The group as it is in the name; none where all records are one group.
    pub group: Option<String>,
    /// The time of the first record, in the server's own zone.
    pub first: PrimitiveDateTime,
    /// The time of the last record, likewise.
    pub last: PrimitiveDateTime,
    /// The first digits of the archive's last digest.
    pub digest: String,
}

impl ArchiveName {
    /// Reads a file name; none for one that X-Road does not give.
    pub fn parse(name: &str) -> Option<Self> {
        let name = plain(name).strip_prefix("mlog-")?.strip_suffix(".zip")?;
        let (rest, digest) = name.rsplit_once('-')?;
        let (rest, last) = rest.rsplit_once('-').unwrap_or(("", rest));
        let (group, first) = match rest.rsplit_once('-') {
            Some((group, first)) => (Some(group.to_owned()), first),
            None => (None, rest),
        };
        let digits = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let (first, last) = (read(first)?, read(last)?);
        digits.then(|| Self { group, first, last, digest: digest.to_owned() })
    }
}

/// The name that an archive has once it is decrypted.
pub fn plain(name: &str) -> &str {
    name.strip_suffix(".gpg").unwrap_or(name)
}

/// A group as it may be in a file name.
fn escape(group: &str) -> String {
    let forbidden = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '\\' | '<' | '>' | '/' | ':' | '|' | '*' | '?')
    };
    group.chars().map(|c| if forbidden(c) { '_' } else { c }).collect()
}

/// The beginning of a text, within the bounds of X-Road (UTF-16) and of file systems (bytes).
fn cut(text: &str, max_bytes: usize) -> String {
    let (mut units, mut bytes) = (0, 0);
    text.chars()
        .take_while(|c| {
            units += c.len_utf16();
            bytes += c.len_utf8();
            units <= MAX_GROUP_UNITS && bytes <= max_bytes
        })
        .collect()
}

fn shown(time: OffsetDateTime) -> String {
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn read(digits: &str) -> Option<PrimitiveDateTime> {
    if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<u8>().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let date =
        Date::from_calendar_date(year, Month::try_from(part(4, 6)?).ok()?, part(6, 8)?).ok()?;
    let time = Time::from_hms(part(8, 10)?, part(10, 12)?, part(12, 14)?).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use time::macros::datetime;

    use super::*;

    const SPAN: (OffsetDateTime, OffsetDateTime) =
        (datetime!(2023-10-23 12:12:55 UTC), datetime!(2023-10-23 15:16:07 +3));

    #[test]
    fn names_as_xroad_gives_them() {
        let digest = "9011ab557706b5050584d6888af7";
        let name = archive_name(None, SPAN, digest, true);
        assert_eq!(name, "mlog-20231023121255-20231023151607-9011ab557706b505.zip.gpg");
        let name = archive_name(Some("DEV/COM/1:2<3>|*?\\\u{7}/sub code"), SPAN, digest, false);
        assert_eq!(
            name,
            "mlog-DEV_COM_1_2_3_______sub_code-20231023121255-20231023151607-9011ab557706b505.zip"
        );
    }

    #[test]
    fn names_are_read_back_and_fit_into_file_systems() {
        let digest = "0123456789abcdef0123";
        for group in [None, Some("DEV/COM/12-34/sub"), Some("a-20231023121255-b")] {
            let name = archive_name(group, SPAN, digest, false);
            let parsed = ArchiveName::parse(&name).unwrap();
            assert_eq!(parsed.group, group.map(escape));
            assert_eq!(parsed.digest, "0123456789abcdef");
            assert_eq!(parsed.first, PrimitiveDateTime::new(SPAN.0.date(), SPAN.0.time()));
        }
        for group in ["é".repeat(300), "x".repeat(300), "😀".repeat(120)] {
            let name = archive_name(Some(&group), SPAN, digest, true);
            assert!(name.len() <= 255 && name.ends_with("0123456789abcdef.zip.gpg"), "{name}");
        }
        // Cut where X-Road cuts, when that fits.
        let name = archive_name(Some(&"x".repeat(300)), SPAN, digest, false);
        assert_eq!(name.len(), 255);
        for strange in ["", "mlog-.zip", "mlog-1-2-3.zip", "message-archive-0.zip", "mlog-é-é.zip"]
        {
            assert_eq!(ArchiveName::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn groups_are_those_of_the_setting() {
        let client = ClientId::parse("DEV/COM/1234/sub").unwrap();
        let group = |name: &str| Grouping::from_name(name).unwrap().group_of(&client);
        assert_eq!(group("none"), None);
        assert_eq!(group("MEMBER").as_deref(), Some("DEV/COM/1234"));
        assert_eq!(group("subsystem").as_deref(), Some("DEV/COM/1234/sub"));
        assert_eq!(Grouping::from_name("client"), None);
    }
}

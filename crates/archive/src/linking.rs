//! The entry `linkinginfo`, and the chain of digests in it (`LinkingInfoBuilder`, `LinkingInfo`).
//!
//! The first line is `PREVIOUS_DIGEST PREVIOUS_ARCHIVE ALGORITHM`, with `-` for what there is not; then comes
//! a line `DIGEST CONTAINER` for each container in the order in which they were written. A digest is that of
//! the text which the digest before it and the container's own make, both in lower-case hexadecimal: it is
//! the text that is hashed, not the bytes for which it stands.

use std::collections::HashSet;
use std::fmt::Write as _;

use causeway_pki::DigestAlgorithm;

use crate::ArchiveError;

/// The name of the entry.
pub const LINKING_INFO: &str = "linkinginfo";
/// The most containers of an archive: what a ZIP file without 64-bit extensions holds, less the entry `linkinginfo`.
pub const MAX_CONTAINERS: usize = 65_533;
/// The largest entry `linkinginfo` that is read, in bytes.
pub const MAX_LINKING_INFO_BYTES: u64 = 64 << 20;

/// The end of an archive's chain: what the next archive continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The last digest, in lower-case hexadecimal.
    pub digest: String,
    /// The archive's file name.
    pub archive: String,
}

/// A digest algorithm for chains.
///
/// # Errors
/// [`ArchiveError::DigestNotAccepted`] for those that X-Road's checker does not take.
pub fn accepted(algorithm: DigestAlgorithm) -> Result<DigestAlgorithm, ArchiveError> {
    match algorithm {
        DigestAlgorithm::Sha256 | DigestAlgorithm::Sha384 | DigestAlgorithm::Sha512 => {
            Ok(algorithm)
        }
        other => Err(ArchiveError::DigestNotAccepted(other.name().to_owned())),
    }
}

/// The digest that follows `previous` (empty at the beginning of a chain) for a container of this digest.
pub fn step(algorithm: DigestAlgorithm, previous: &str, container: &[u8]) -> String {
    let mut text = String::with_capacity(previous.len() + 2 * container.len());
    text.push_str(previous);
    text.push_str(&hex::encode(container));
    hex::encode(algorithm.digest(text.as_bytes()))
}

/// A line of `linkinginfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The digest up to this container.
    pub digest: String,
    /// The container's name in the archive.
    pub container: String,
}

/// What `linkinginfo` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkingInfo {
    /// The archive that this one continues; none at the beginning of a chain.
    pub previous: Option<Link>,
    /// How digests are made.
    pub algorithm: DigestAlgorithm,
    /// The containers, in order.
    pub containers: Vec<Linked>,
}

impl LinkingInfo {
    /// The text of the entry.
    pub fn to_text(&self) -> String {
        let (digest, archive) = match &self.previous {
            Some(link) => (&link.digest[..], &link.archive[..]),
            None => ("", ""),
        };
        let or_dash =
            |text: &str| if text.trim().is_empty() { "-".into() } else { text.to_owned() };
        let mut text =
            format!("{} {} {}\n", or_dash(digest), or_dash(archive), self.algorithm.name());
        for linked in &self.containers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", linked.digest, linked.container);
        }
        text
    }

    /// Reads the entry. Digests are not looked at: one that is none differs from every computed one.
    ///
    /// # Errors
    /// [`ArchiveError::MalformedLinkingInfo`], [`ArchiveError::DigestNotAccepted`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let malformed = |text: &str| ArchiveError::MalformedLinkingInfo(text.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        // The name of an archive may hold spaces: X-Road writes it as it is, after the group.
        let (digest, rest) = first
            .split_once(' ')
            .ok_or_else(|| malformed("its first line has no previous digest"))?;
        let (archive, algorithm) = rest
            .rsplit_once(' ')
            .ok_or_else(|| malformed("its first line names no digest algorithm"))?;
        let algorithm = DigestAlgorithm::from_name(algorithm)
            .ok_or_else(|| ArchiveError::DigestNotAccepted(shown(algorithm)))
            .and_then(accepted)?;
        let present = |text: &str| !matches!(text, "-" | "");
        let previous = match (present(digest), present(archive)) {
            (false, true) => {
                return Err(malformed("it names an archive before this one, but not its digest"));
            }
            (false, false) => None,
            (true, named) => {
                let archive = if named { archive.to_owned() } else { String::new() };
                Some(Link { digest: digest.to_owned(), archive })
            }
        };
        let mut containers = Vec::new();
        let mut names = HashSet::new();
        for line in lines {
            let (digest, container) = line
                .split_once(' ')
                .filter(|(digest, name)| {
                    !digest.is_empty() && !name.is_empty() && !name.contains(' ')
                })
                .ok_or_else(|| {
                    malformed(&format!("'{}' is not a digest and a name", shown(line)))
                })?;
            if containers.len() == MAX_CONTAINERS {
                return Err(malformed("it lists more containers than an archive can hold"));
            }
            if !names.insert(container) {
                return Err(malformed(&format!("it lists '{}' twice", shown(container))));
            }
            containers.push(Linked { digest: digest.to_owned(), container: container.to_owned() });
        }
        Ok(Self { previous, algorithm, containers })
    }

    /// The digest from which the chain starts; empty at its beginning.
    pub fn previous_digest(&self) -> &str {
        self.previous.as_ref().map_or("", |link| &link.digest)
    }

    /// The last digest that is stated; that before the archive when it lists nothing.
    pub fn last_digest(&self) -> &str {
        self.containers.last().map_or(self.previous_digest(), |linked| &linked.digest)
    }
}

/// A piece of a stranger's text for messages to people.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_step_hashes_the_text_of_two_digests() {
        // sha256("" + sha256("abc")), then sha256(that + sha256("abc")), by sha256sum.
        let abc = DigestAlgorithm::Sha256.digest(b"abc");
        let first = step(DigestAlgorithm::Sha256, "", &abc);
        assert_eq!(
            first,
            hex::encode(DigestAlgorithm::Sha256.digest(hex::encode(&abc).as_bytes()))
        );
        let second = step(DigestAlgorithm::Sha256, &first, &abc);
        let text = format!("{first}{}", hex::encode(&abc));
        assert_eq!(second, hex::encode(DigestAlgorithm::Sha256.digest(text.as_bytes())));
    }

    #[test]
    fn what_is_not_linking_information_is_refused() {
        for text in [
            "",
            "\n",
            "-\n",
            "- -\n",
            "- a.zip SHA-512\n",
            "- - SHA-512\nonly\n",
            "- - SHA-512\na b c\n",
            "- - SHA-512\n a\n",
            "- - SHA-512\na \n",
            "- - SHA-512\na x\nb x\n",
            "- - SHA-512\n\na b\n",
        ] {
            let error = LinkingInfo::parse(text.as_bytes()).unwrap_err();
            assert!(
                matches!(
                    error,
                    ArchiveError::MalformedLinkingInfo(_) | ArchiveError::DigestNotAccepted(_)
                ),
                "{text:?}: {error}"
            );
        }
        for algorithm in ["SHA-1", "SHA-224", "MD5", "none"] {
            let error = LinkingInfo::parse(format!("- - {algorithm}\n").as_bytes()).unwrap_err();
            assert_eq!(error, ArchiveError::DigestNotAccepted(algorithm.into()));
        }
        assert!(LinkingInfo::parse(b"\xff - SHA-512\n").is_err());
    }

    #[test]
    fn a_previous_archive_whose_name_has_spaces_can_be_read() {
        let info = LinkingInfo::parse(b"ab mlog-DEV_COM_1_my sub-1-2-3.zip SHA-256\r\n").unwrap();
        assert_eq!(info.previous.unwrap().archive, "mlog-DEV_COM_1_my sub-1-2-3.zip");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            previous in proptest::option::of(("[0-9a-f]{64}", "[a-z][a-z0-9._-]{0,40}")),
            names in proptest::collection::hash_set("[A-Za-z0-9%.-]{1,40}", 0..20),
        ) {
            let previous = previous.map(|(digest, archive)| Link { digest, archive });
            let containers = names
                .into_iter()
                .map(|container| Linked { digest: hex::encode(&container), container })
                .collect();
            let info = LinkingInfo { previous, algorithm: DigestAlgorithm::Sha384, containers };
            prop_assert_eq!(LinkingInfo::parse(info.to_text().as_bytes()), Ok(info));
        }

        #[test]
        fn strangers_bytes_end_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = LinkingInfo::parse(&bytes);
        }
    }
}

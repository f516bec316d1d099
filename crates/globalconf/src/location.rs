//! Where a configuration is downloaded from, in which order, and in which version (protocol
//! reference 7.5). Plain functions: the caller does the downloading.

use std::collections::HashSet;

use causeway_pki::Certificate;
use url::Url;

use crate::shared::ConfigurationSource;
use crate::{Anchor, EncodedCertificate, GlobalConfError, Version};

/// An address of a signed directory, with the certificates that verify what comes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The address, as a rule without a version; see [`version_requests`].
    pub url: String,
    /// The certificates that verify directories from this address, and from no other.
    pub certificates: Vec<EncodedCertificate>,
}

impl Location {
    /// The verification certificates that can be read.
    pub fn verification_certificates(&self) -> Vec<Certificate> {
        self.certificates.iter().filter_map(|c| c.read().ok()).collect()
    }
}

/// The locations of an instance's configuration in the order in which to try them.
///
/// First those of the sources in the shared parameters that are held already (`held`), then those of
/// the anchor; within each list every `https` address before every `http` one, and each kind in an
/// order that depends on `seed` alone. An `http` address has an `https` twin. When the location that
/// answered last (`last_successful`, its URL) is still among them, it comes first, with the
/// certificates that count for it now.
///
/// X-Road drops `https` addresses that an anchor lists without their `http` twin; here they stay.
///
/// # Errors
/// [`GlobalConfError::InvalidAddress`] when the anchor yields no location at all.
pub fn candidates(
    anchor: &Anchor,
    held: &[ConfigurationSource],
    last_successful: Option<&str>,
    seed: u64,
) -> Result<Vec<Location>, GlobalConfError> {
    let mut random = SplitMix(seed);
    let mut locations = prefer_https(from_sources(anchor, held), &mut random);
    locations.extend(prefer_https(from_anchor(anchor), &mut random));
    let mut known = HashSet::new();
    locations
        .retain(|location| known.insert((location.url.clone(), location.certificates.clone())));
    if locations.is_empty() {
        let url = anchor.sources.first().map(|s| s.url.clone()).unwrap_or_default();
        return Err(GlobalConfError::InvalidAddress(url));
    }
    if let Some(at) = last_successful.and_then(|url| locations.iter().position(|l| l.url == url)) {
        locations[..=at].rotate_right(1);
    }
    Ok(locations)
}

/// The locations that an anchor lists.
pub fn from_anchor(anchor: &Anchor) -> Vec<Location> {
    anchor
        .sources
        .iter()
        .map(|s| Location { url: s.url.clone(), certificates: s.certificates.clone() })
        .collect()
}

/// The locations of the sources in shared parameters, for the kind of configuration to which the
/// anchor leads: `internalconf`, `externalconf`, or a configuration proxy's, for which the
/// certificates of both kinds count. Nothing when the anchor has no `http` or `https` address.
pub fn from_sources(anchor: &Anchor, sources: &[ConfigurationSource]) -> Vec<Location> {
    let Some(url) = anchor.sources.iter().find_map(|s| web_address(&s.url)) else {
        return Vec::new();
    };
    let path = url.path().trim_start_matches('/').to_owned();
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let location = |scheme: &str, source: &ConfigurationSource| Location {
        url: format!("{scheme}://{}/{path}{query}", source.address),
        certificates: match path.as_str() {
            "internalconf" => source.internal_certificates.clone(),
            "externalconf" => source.external_certificates.clone(),
            _ => {
                let both = [&source.internal_certificates[..], &source.external_certificates[..]];
                both.concat()
            }
        },
    };
    let https = sources.iter().map(|source| location("https", source));
    https.chain(sources.iter().map(|source| location("http", source))).collect()
}

/// One request for a directory, with the version that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRequest {
    /// The address to get.
    pub url: String,
    /// The version asked for; `None` when the address itself names one.
    pub version: Option<Version>,
    /// An answer of 404 means: this version is not published, go on to the next request. Any other
    /// answer is the end of the search.
    pub may_be_missing: bool,
}

/// The requests for a location, newest version first, down to `oldest`. An address that names a
/// version gives one request, as it is.
///
/// # Errors
/// [`GlobalConfError::InvalidAddress`] when the address is not an `http` or `https` URL.
pub fn version_requests(
    location_url: &str,
    oldest: Version,
) -> Result<Vec<VersionRequest>, GlobalConfError> {
    let url = web_address(location_url)
        .ok_or_else(|| GlobalConfError::InvalidAddress(location_url.to_owned()))?;
    if url.query_pairs().any(|(name, _)| name == "version") {
        let url = location_url.to_owned();
        return Ok(vec![VersionRequest { url, version: None, may_be_missing: false }]);
    }
    let request = |version: Version| {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("version", &version.to_string());
        let may_be_missing = version > oldest;
        VersionRequest { url: url.into(), version: Some(version), may_be_missing }
    };
    Ok(Version::ALL.into_iter().rev().filter(|v| *v >= oldest).map(request).collect())
}

fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn prefer_https(locations: Vec<Location>, random: &mut SplitMix) -> Vec<Location> {
    let (mut https, mut http) = (Vec::new(), Vec::new());
    for location in locations {
        match web_address(&location.url) {
            Some(url) if url.scheme() == "https" => https.push(location),
            Some(_) => {
                let rest = location.url.get("http".len()..).unwrap_or_default();
                let url = format!("https{rest}");
                https.push(Location { url, certificates: location.certificates.clone() });
                http.push(location);
            }
            None => {}
        }
    }
    random.shuffle(&mut https);
    random.shuffle(&mut http);
    https.append(&mut http);
    https
}

/// Sebastiano Vigna's SplitMix64: spreads load over sources, keeps no secret.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // usize is at most 64 bits wide, and the remainder is below `last + 1`.
            let at = usize::try_from(self.next() % (last as u64 + 1)).unwrap_or(last);
            items.swap(at, last);
        }
    }
}

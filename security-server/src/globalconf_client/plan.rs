//! What the client does next: decisions only, time comes in.

use std::time::Duration;

use causeway_globalconf::location::Location;
use causeway_globalconf::{Anchor, GlobalConf, InstanceConfiguration, PrivateParameters};
use time::OffsetDateTime;

use crate::settings::AllowedFederations;

/// How soon to try again while there is no configuration that counts.
const WITHOUT_CONFIGURATION: Duration = Duration::from_secs(10);

/// How long to wait after a refresh.
pub(super) fn next_refresh(refresh: Duration, counts: bool) -> Duration {
    if counts { refresh } else { refresh.min(WITHOUT_CONFIGURATION) }
}

/// The locations that can be called; without `https` the others, unless there is none.
pub(super) fn usable(locations: Vec<Location>, https: bool) -> Vec<Location> {
    let is_http = |location: &Location| !location.url.starts_with("https:");
    if https || !locations.iter().any(is_http) {
        return locations;
    }
    locations.into_iter().filter(is_http).collect()
}

/// The anchors of the partners to be trusted, by the own instance's private parameters.
pub(super) fn partner_anchors(
    own: &str,
    private: Option<&PrivateParameters>,
    allowed: &AllowedFederations,
) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    for anchor in private.map_or(&[][..], |private| &private.anchors) {
        let new = anchors.iter().all(|known| known.instance != anchor.instance);
        if new && anchor.instance != own && allowed.allows(&anchor.instance) {
            anchors.push(anchor.clone());
        }
    }
    anchors
}

/// Whether two snapshots differ in nothing but when they expire.
pub(super) fn says_the_same(old: &GlobalConf, new: &GlobalConf) -> bool {
    let same = |a: &InstanceConfiguration, b: &InstanceConfiguration| {
        (a.version, a.fetch_interval, a.next_update) == (b.version, b.fetch_interval, b.next_update)
            && (&a.private, &a.monitoring, &a.shared) == (&b.private, &b.monitoring, &b.shared)
    };
    old.instances().eq(new.instances())
        && new.instances().all(|id| match (old.configuration(id), new.configuration(id)) {
            (Some(old), Some(new)) => same(old, new),
            _ => false,
        })
}

/// When the first of the partners expires that have not yet.
pub(super) fn next_partner_expiry(
    conf: &GlobalConf,
    now: OffsetDateTime,
) -> Option<OffsetDateTime> {
    let partners = conf.instances().skip(1).filter_map(|id| conf.configuration(id)?.expires);
    partners.filter(|expires| *expires >= now).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn without_https_only_http_is_tried() {
        let location = |url: &str| Location { url: url.to_owned(), certificates: Vec::new() };
        let both = vec![location("https://a/"), location("http://a/")];
        assert_eq!(usable(both.clone(), true), both);
        assert_eq!(usable(both, false), vec![location("http://a/")]);
        // Kept, so that the error tells why it does not work.
        assert_eq!(usable(vec![location("https://a/")], false), vec![location("https://a/")]);
    }

    #[test]
    fn without_a_configuration_the_next_try_comes_sooner() {
        let seconds = Duration::from_secs;
        assert_eq!(next_refresh(seconds(60), true), seconds(60));
        assert_eq!(next_refresh(seconds(60), false), seconds(10));
        assert_eq!(next_refresh(seconds(2), false), seconds(2));
    }
}

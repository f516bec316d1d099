//! For tests: an authority that misbehaves on request, and a log with signed records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use causeway_globalconf::shared::ApprovedTsa;
use causeway_globalconf::{GlobalConf, InstanceConfiguration, Version};
use causeway_identifiers::ClientId;
use causeway_messagelog::{
    Log, LogSettings, NewAttachment, NewRecord, RecordId, Side, SpooledBody,
};
use causeway_pki::tsp::{FailureInfo, ResponseBuilder, TimestampRequest, refusal};
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey as _};
use causeway_signature::batch::sign;
use causeway_signature::hashchain::PartDigest;
use causeway_signature::xades::Composer;
use time::OffsetDateTime;

use crate::outgoing::fake::{FakeServer, Reply, TestKey, self_signed, shared_parameters};

/// How the authority behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Grant,
    Reject,
    Garbage,
    Unavailable,
    Silent,
    /// A token for other data.
    OtherImprint,
    /// A token that is signed with a stranger's key.
    Forge,
}

pub(crate) struct FakeTsa {
    pub(crate) server: FakeServer,
    pub(crate) certificate: Certificate,
    mood: Arc<Mutex<Mood>>,
}

impl FakeTsa {
    pub(crate) async fn start(mood: Mood) -> Self {
        let (key, stranger) = (TestKey::generate(), TestKey::generate());
        let certificate = self_signed("TSA", &key);
        let mood = Arc::new(Mutex::new(mood));
        let (now, authority) = (Arc::clone(&mood), certificate.clone());
        let server = FakeServer::start(move |asked| {
            let kind = "application/timestamp-reply";
            let request = TimestampRequest::parse(&asked.body).unwrap();
            let grant = |request: &TimestampRequest, key: &TestKey| {
                let builder =
                    ResponseBuilder::new("1.2.3", &[1], OffsetDateTime::now_utc()).unwrap();
                Reply::Http(200, kind, builder.grant(request, key, &authority).unwrap())
            };
            match *now.lock().unwrap() {
                Mood::Grant => grant(&request, &key),
                Mood::Forge => grant(&request, &stranger),
                Mood::OtherImprint => {
                    grant(&TimestampRequest::new(DigestAlgorithm::Sha512, &[7; 64]), &key)
                }
                Mood::Reject => Reply::Http(200, kind, refusal(FailureInfo::SystemFailure, "no")),
                Mood::Garbage => Reply::Http(200, kind, b"garbage".to_vec()),
                Mood::Unavailable => Reply::Http(503, "text/html", b"<h1>sorry</h1>".to_vec()),
                Mood::Silent => Reply::Hang,
            }
        })
        .await;
        Self { server, certificate, mood }
    }

    pub(crate) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("/tsa")
    }
}

/// A global configuration that approves these authorities, in order, under these names.
pub(crate) fn conf_with(authorities: &[(&str, &FakeTsa)]) -> Arc<GlobalConf> {
    conf_that_expires(authorities, None)
}

pub(crate) fn conf_that_expires(
    authorities: &[(&str, &FakeTsa)],
    expires: Option<OffsetDateTime>,
) -> Arc<GlobalConf> {
    let mut shared = shared_parameters("AA");
    shared.approved_tsas = authorities
        .iter()
        .map(|(name, tsa)| ApprovedTsa {
            name: (*name).to_owned(),
            url: tsa.url(),
            certificate: (&tsa.certificate).into(),
            cost: None,
        })
        .collect();
    let configuration = InstanceConfiguration::new(shared, Version::V6, expires);
    Arc::new(GlobalConf::new("AA", vec![configuration]).unwrap())
}

/// A log in a folder of its own.
pub(crate) struct TestLog {
    pub(crate) log: Arc<Log>,
    composer: Composer,
    key: TestKey,
    _folder: tempfile::TempDir,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = TestKey::generate();
        let composer = Composer::new(&self_signed("Member", &key), &[], key.algorithm());
        let log = Arc::new(Log::open(LogSettings::new(folder.path())).unwrap());
        Self { log, composer, key, _folder: folder }
    }

    /// Keeps a signed message of the subsystem `AA/GOV/1/sub`.
    pub(crate) async fn keep(&self, id: &str, response: bool) -> RecordId {
        let message = Bytes::from(format!("GET\r\n/r1/AA\r\nx-road-id:{id}\r\n"));
        let digest = DigestAlgorithm::Sha512.digest(&message);
        let part = PartDigest { name: causeway_signature::MESSAGE.into(), digest };
        let now = OffsetDateTime::now_utc();
        let signed = sign(&[vec![part]], &self.composer, &self.key, &[], now).unwrap();
        self.keep_with(id, response, message, signed[0].signature.clone(), None).await
    }

    pub(crate) async fn keep_with(
        &self,
        id: &str,
        response: bool,
        message: Bytes,
        signature: Bytes,
        body: Option<&[u8]>,
    ) -> RecordId {
        let attachment = |body: &[u8]| NewAttachment {
            number: 1,
            digest: DigestAlgorithm::Sha512.digest(body).try_into().unwrap(),
            length: body.len() as u64,
            body: Some(SpooledBody::Memory(Bytes::copy_from_slice(body))),
        };
        let record = NewRecord {
            time: OffsetDateTime::now_utc(),
            message_id: id.into(),
            request_id: None,
            response,
            side: Side::Consumer,
            owner: ClientId::parse("AA/GOV/1/sub").unwrap(),
            service: "AA/GOV/2/sub/service".into(),
            peer: None,
            message,
            signature,
            hash_chain_result: None,
            hash_chain: None,
            attachments: body.map(attachment).into_iter().collect(),
        };
        self.log.append(record).await.unwrap()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.log.untimestamped(1000).unwrap().len()
    }
}

//! A small instance: an authority with a responder, two members, a server.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use causeway_globalconf::shared::{ApprovedCa, CaInfo, GlobalSettings};
use causeway_globalconf::{
    EncodedCertificate, GlobalConf, InstanceConfiguration, ManagementService, PrivateParameters,
    SharedParameters, Version,
};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_keys::{KeyKind, KeyPair};
use causeway_management::{
    Kind, Message, Multipart, Request, Signatory, registration, signed, soap,
};
use causeway_message::Fault;
use causeway_pki::Certificate;
use causeway_pki::issue::{CertificateRequest, RequestTemplate};
use causeway_pki::ocsp;
use causeway_pki::profile::CertificateProfile;
use causeway_transport::{Boundary, BoundaryUse};
use causeway_trust_services::{
    AuthorityOptions, CertificationAuthority, OcspResponder, Order, Purpose,
};
use time::{Duration, OffsetDateTime};

pub(crate) struct Party {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
    pub(crate) ocsp: Vec<u8>,
}

impl Party {
    pub(crate) fn signatory(&self) -> Signatory<'_> {
        Signatory { key: &self.key, certificate: &self.certificate, ocsp: &self.ocsp }
    }
}

pub(crate) struct World {
    pub(crate) now: OffsetDateTime,
    pub(crate) authority: Arc<CertificationAuthority>,
    pub(crate) responder: OcspResponder,
    pub(crate) conf: GlobalConf,
    /// DEV/GOV/1, the owner of DEV/GOV/1/SS1.
    pub(crate) owner: Party,
    /// DEV/COM/2, who has subsystems.
    pub(crate) other: Party,
    /// The server's authentication key.
    pub(crate) auth: Party,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::new);

pub(crate) fn client(short: &str) -> ClientId {
    ClientId::parse(short).unwrap()
}

pub(crate) fn server() -> SecurityServerId {
    SecurityServerId::parse("DEV/GOV/1/SS1").unwrap()
}

pub(crate) fn provider() -> ClientId {
    client("DEV/GOV/0/MANAGEMENT")
}

pub(crate) fn boundary() -> Boundary {
    Boundary::random(BoundaryUse::Message, &[7; 30])
}

impl World {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let options = AuthorityOptions::new("Test", "Test CA");
        let authority = Arc::new(CertificationAuthority::create(&options, now).unwrap());
        let responder = OcspResponder::delegated(Arc::clone(&authority), "OCSP", now).unwrap();
        let conf = conf(&authority, false, now + Duration::days(30));
        let member = |short: &str| {
            issue(&authority, &responder, short, Purpose::Signing, Duration::days(9), now)
        };
        let (owner, other) = (member("DEV/GOV/1"), member("DEV/COM/2"));
        let auth = issue(
            &authority,
            &responder,
            "DEV/GOV/1",
            Purpose::Authentication,
            Duration::days(9),
            now,
        );
        Self { now, authority, responder, conf, owner, other, auth }
    }

    /// One more certificate of the authority.
    pub(crate) fn issue(&self, short: &str, purpose: Purpose, validity: Duration) -> Party {
        issue(&self.authority, &self.responder, short, purpose, validity, self.now)
    }

    /// The request as the server sends it: signed by those who must.
    pub(crate) fn message(&self, request: &Request) -> (String, Vec<u8>) {
        let sender = request.server().owner().as_client();
        let text = soap(request, &sender, &provider(), "a-b-c");
        self.message_of(request, &text)
    }

    pub(crate) fn message_of(&self, request: &Request, text: &[u8]) -> (String, Vec<u8>) {
        let Multipart { content_type, body } = match request.kind() {
            Kind::AuthCertReg => self.registration(text),
            kind if !kind.is_signed() => {
                return ("text/xml; charset=UTF-8".into(), text.to_vec());
            }
            _ => {
                let client = request.client().map_or("1", |client| client.member().code());
                let signer = if client == "2" { &self.other } else { &self.owner };
                signed(text, &signer.signatory(), &boundary()).unwrap()
            }
        };
        (content_type, body)
    }

    pub(crate) fn registration(&self, text: &[u8]) -> Multipart {
        let (auth, owner) = (&self.auth, self.owner.signatory());
        registration(text, &auth.key, &auth.certificate, &owner, &boundary()).unwrap()
    }

    /// Reads and judges.
    pub(crate) fn verdict(&self, content_type: &str, body: &[u8]) -> Result<Message, Fault> {
        let message = Message::read(Some(content_type), Bytes::copy_from_slice(body))?;
        causeway_management::judge(&message, &self.conf, self.now)?;
        Ok(message)
    }

    pub(crate) fn sample(&self, kind: Kind) -> Request {
        let (server, client) = (server(), client("DEV/COM/2/SUB"));
        match kind {
            Kind::AuthCertReg => Request::AuthCertReg {
                server,
                address: Some("ss1.example.org".into()),
                certificate: self.auth.certificate.der().to_vec(),
                dry_run: false,
            },
            Kind::AuthCertDeletion => Request::AuthCertDeletion {
                server,
                certificate: self.auth.certificate.der().to_vec(),
            },
            Kind::ClientReg => {
                Request::ClientReg { server, client, subsystem_name: Some("A <name>".into()) }
            }
            Kind::ClientDeletion => Request::ClientDeletion { server, client },
            Kind::OwnerChange => {
                Request::OwnerChange { server, client: client.member().as_client() }
            }
            Kind::ClientDisable => Request::ClientDisable { server, client },
            Kind::ClientEnable => Request::ClientEnable { server, client },
            Kind::ClientRename => {
                Request::ClientRename { server, client, subsystem_name: "Another".into() }
            }
            Kind::AddressChange => Request::AddressChange { server, address: "192.0.2.7".into() },
            Kind::MaintenanceModeEnable => {
                Request::MaintenanceModeEnable { server, message: Some("Back at noon".into()) }
            }
            Kind::MaintenanceModeDisable => Request::MaintenanceModeDisable { server },
        }
    }
}

pub(crate) fn conf(
    authority: &CertificationAuthority,
    authentication_only: bool,
    expires: OffsetDateTime,
) -> GlobalConf {
    let ca = ApprovedCa {
        name: "Test CA".into(),
        authentication_only,
        top: CaInfo {
            certificate: EncodedCertificate::from(authority.certificate()),
            ocsp: vec![],
        },
        intermediates: vec![],
        certificate_profile: CertificateProfile::Basic.class_name(),
        csr_format: None,
        acme: None,
    };
    let shared = SharedParameters {
        instance: "DEV".into(),
        sources: vec![],
        approved_cas: vec![ca],
        approved_tsas: vec![],
        members: vec![],
        security_servers: vec![],
        global_groups: vec![],
        settings: GlobalSettings { member_classes: vec![], ocsp_freshness_seconds: 3600 },
    };
    let private = PrivateParameters {
        instance: "DEV".into(),
        anchors: vec![],
        management: ManagementService {
            registration_url: "https://registry:4001/managementservice/".into(),
            registration_certificate: None,
            provider: provider(),
        },
        timestamping_interval_seconds: 60,
    };
    let mut configuration = InstanceConfiguration::new(shared, Version::V6, Some(expires));
    configuration.private = Some(private);
    GlobalConf::new("DEV", vec![configuration]).unwrap()
}

fn issue(
    authority: &CertificationAuthority,
    responder: &OcspResponder,
    short: &str,
    purpose: Purpose,
    validity: Duration,
    now: OffsetDateTime,
) -> Party {
    let key = KeyPair::generate(KeyKind::EcP256).unwrap();
    let member = MemberId::parse(short).unwrap();
    let subject = [
        ("CN", "Somebody"),
        ("O", "Somebody"),
        ("businessCategory", member.class()),
        ("serialNumber", member.code()),
    ];
    let request = RequestTemplate::new(&subject).unwrap().sign(&key).unwrap();
    let request = CertificateRequest::parse(&request).unwrap();
    let order = Order::new(purpose).valid_for(validity);
    let certificate = authority.issue(&request, &order, now).unwrap();
    let ocsp = responder.answer(&ocsp::request(&certificate, authority.certificate()), now);
    Party { key, certificate, ocsp }
}

//! Management requests: what becomes of each, and what changes in the records.

use std::sync::Arc;

use causeway_identifiers::{ClientId, MemberId};
use causeway_keys::{KeyKind, KeyPair};
use causeway_management::{Kind, Request, Signatory, registration, request_id, signed, soap};
use causeway_message::Fault;
use causeway_message::soap::SoapMessage;
use causeway_pki::issue::{CertificateRequest, RequestTemplate};
use causeway_pki::{Certificate, ocsp};
use causeway_transport::{Boundary, BoundaryUse};
use causeway_trust_services::{
    AuthorityOptions, CertificationAuthority, OcspResponder, Order, Purpose,
};
use central_registry::store::MemoryStore;
use central_registry::{
    Approval, CaCertificateRecord, CaRecord, Door, Edit, Listing, Origin, Registry, RequestListing,
    RequestStatus,
};
use time::{Duration, OffsetDateTime};

use crate::support::{client, config, member, record, server, signers};

const SS1: &str = "DEV/GOV/1/SS1";
const MANAGEMENT: &str = "DEV/GOV/1/MANAGEMENT";

struct Party {
    key: KeyPair,
    certificate: Certificate,
    ocsp: Vec<u8>,
}

impl Party {
    fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }
}

/// A registry of two members, DEV/GOV/1 with the management services and DEV/COM/2, with an authority
/// that it has approved. Its one security server is DEV/GOV/0/SS0, which serves the management services.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) registry: Registry,
    now: OffsetDateTime,
    authority: Arc<CertificationAuthority>,
    responder: OcspResponder,
    owner: Party,
    other: Party,
    auth: Party,
}

impl World {
    pub(crate) fn new(approval: Approval) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder);
        config.approval = approval;
        let store = Box::new(MemoryStore::default());
        let registry = Registry::with_parts(config, store, signers()).unwrap();
        let now = OffsetDateTime::now_utc();
        let options = AuthorityOptions::new("Test", "Test CA");
        let authority = Arc::new(CertificationAuthority::create(&options, now).unwrap());
        let responder = OcspResponder::delegated(Arc::clone(&authority), "OCSP", now).unwrap();
        registry.add_member_class("GOV", "Government").unwrap();
        registry.add_member_class("COM", "Companies").unwrap();
        for (id, name) in [("DEV/GOV/0", "Operator"), ("DEV/GOV/1", "One"), ("DEV/COM/2", "Two")] {
            registry.add_member(&member(id), name).unwrap();
        }
        registry.add_subsystem(&client(MANAGEMENT), None).unwrap();
        registry.add_server(&server("DEV/GOV/0/SS0"), "ss0.example.org").unwrap();
        registry.add_client(&server("DEV/GOV/0/SS0"), &client(MANAGEMENT)).unwrap();
        registry.set_management_provider(&client(MANAGEMENT)).unwrap();
        let ca = CaRecord {
            authentication_only: false,
            profile: "BasicCertificateProfileInfoProvider".into(),
            top: CaCertificateRecord { certificate: record(authority.certificate()), ocsp: vec![] },
            intermediates: vec![],
            acme_url: None,
            acme_addresses: None,
            csr_format: None,
        };
        registry.add_ca("Test CA", ca).unwrap();
        let issue = |short: &str, purpose| {
            issue(&authority, &responder, short, purpose, Duration::days(9), now)
        };
        let owner = issue("DEV/GOV/1", Purpose::Signing);
        let other = issue("DEV/COM/2", Purpose::Signing);
        let auth = issue("DEV/GOV/1", Purpose::Authentication);
        Self { _folder: folder, registry, now, authority, responder, owner, other, auth }
    }

    /// The approved authority.
    pub(crate) fn authority(&self) -> &Certificate {
        self.authority.certificate()
    }

    /// An authentication certificate and a signing certificate of the authority, DER.
    pub(crate) fn certificates(&self) -> [Vec<u8>; 2] {
        [self.auth.der(), self.owner.der()]
    }

    /// With SS1 registered, and DEV/COM/2/SUB as its client.
    fn with_server(approval: Approval) -> Self {
        let world = Self::new(approval);
        let number = world.send(&world.registration()).unwrap();
        if world.status(number) == RequestStatus::Waiting {
            world.registry.approve_request(number, world.now).unwrap();
        }
        let number = world.send(&client_reg("DEV/COM/2/SUB")).unwrap();
        if world.status(number) == RequestStatus::Waiting {
            world.registry.approve_request(number, world.now).unwrap();
        }
        world
    }

    pub(crate) fn registration(&self) -> Request {
        Request::AuthCertReg {
            server: server(SS1),
            address: Some("ss1.example.org".into()),
            certificate: self.auth.der(),
            dry_run: false,
        }
    }

    /// A request as the security server sends it, signed by those who must.
    pub(crate) fn sent(&self, request: &Request) -> (String, Vec<u8>, SoapMessage) {
        let sender = request.server().owner().as_client();
        let text = soap(request, &sender, &client(MANAGEMENT), "id-1");
        let header = SoapMessage::parse(&text).unwrap();
        let boundary = Boundary::random(BoundaryUse::Message, &[9; 30]);
        let member = request.client().map_or(request.server().owner(), ClientId::member);
        let party = if *member == self::member("DEV/COM/2") { &self.other } else { &self.owner };
        let signatory =
            Signatory { key: &party.key, certificate: &party.certificate, ocsp: &party.ocsp };
        let made = match request.kind() {
            Kind::AuthCertReg => {
                let (key, certificate) = (&self.auth.key, &self.auth.certificate);
                registration(&text, key, certificate, &signatory, &boundary).unwrap()
            }
            kind if kind.is_signed() => signed(&text, &signatory, &boundary).unwrap(),
            _ => return ("text/xml; charset=utf-8".into(), text, header),
        };
        (made.content_type, made.body, header)
    }

    fn send(&self, request: &Request) -> Result<u64, Fault> {
        self.send_at(request, self.now)
    }

    fn send_at(&self, request: &Request, now: OffsetDateTime) -> Result<u64, Fault> {
        let door = match request.kind() {
            Kind::AuthCertReg => Door::Registration,
            _ => Door::Management,
        };
        let (content_type, body, header) = self.sent(request);
        let answer = self.registry.take_request(door, Some(&content_type), body.into(), now)?;
        Ok(request_id(&answer, &header).unwrap().unwrap())
    }

    /// Sends what must be refused: the fault's text, and nothing has changed.
    fn refused(&self, request: &Request) -> String {
        let before = (self.registry.listing(), self.registry.requests());
        let fault = self.send(request).unwrap_err();
        assert_eq!((self.registry.listing(), self.registry.requests()), before);
        assert_eq!(fault.code(), "internal_error", "{fault}");
        fault.message().to_owned()
    }

    fn request(&self, number: u64) -> RequestListing {
        self.registry.requests().into_iter().find(|r| r.number == number).unwrap()
    }

    fn status(&self, number: u64) -> RequestStatus {
        self.request(number).status
    }

    fn approve(&self, number: u64) -> RequestStatus {
        self.registry.approve_request(number, self.now).unwrap()
    }

    /// As the operator.
    fn ask(&self, request: &Request) -> Result<(u64, RequestStatus), &'static str> {
        let asked = self.registry.submit_request(request, Origin::Registry, None, self.now);
        asked.map(|outcome| (outcome.number, outcome.status)).map_err(|e| e.code())
    }
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
        ("CN", "X"),
        ("O", "X"),
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

fn client_reg(id: &str) -> Request {
    Request::ClientReg { server: server(SS1), client: client(id), subsystem_name: None }
}

fn found<'l>(listing: &'l Listing, id: &str) -> &'l central_registry::ServerListing {
    listing.servers.iter().find(|s| s.id == id).unwrap()
}

#[test]
fn a_server_joins() {
    let world = World::new(Approval::default());
    let number = world.send(&world.registration()).unwrap();
    assert_eq!(number, 1);
    assert_eq!(world.status(number), RequestStatus::Waiting);
    assert_eq!(world.registry.listing().servers.len(), 1);
    assert_eq!(world.approve(number), RequestStatus::Approved);
    let listing = world.registry.listing();
    let ss1 = found(&listing, SS1);
    assert_eq!(ss1.address.as_deref(), Some("ss1.example.org"));
    assert_eq!(ss1.auth_certificates.len(), 1);
    let owners = listing.groups.iter().find(|g| g.code == "security-server-owners").unwrap();
    assert!(owners.members.contains(&"DEV/GOV/1".to_owned()));
    // A decision is final.
    let again = world.registry.approve_request(number, world.now).unwrap_err();
    assert_eq!(again.code(), "management_request_invalid_state_for_approval");
    let again = world.registry.decline_request(number, world.now).unwrap_err();
    assert_eq!(again.code(), "management_request_invalid_state");
    let none = world.registry.approve_request(99, world.now).unwrap_err();
    assert_eq!((none.code(), none.status()), ("management_request_not_found", 404));
}

#[test]
fn a_replayed_registration_changes_nothing() {
    let world = World::new(Approval::default());
    let number = world.send(&world.registration()).unwrap();
    let exists = "management_request_exists with statusCode 409";
    assert_eq!(world.refused(&world.registration()), exists);
    world.approve(number);
    let exists = "management_request_security_server_exists with statusCode 409";
    assert_eq!(world.refused(&world.registration()), exists);
}

#[test]
fn a_declined_registration_changes_nothing_and_can_be_sent_again() {
    let world = World::new(Approval::default());
    let number = world.send(&world.registration()).unwrap();
    let before = world.registry.listing();
    let status = world.registry.decline_request(number, world.now).unwrap();
    assert_eq!(status, RequestStatus::Declined);
    assert_eq!(world.registry.listing(), before);
    assert_eq!(world.send(&world.registration()).unwrap(), 2);
}

#[test]
fn a_trial_keeps_nothing() {
    let world = World::new(Approval { auth_certificates: true, ..Approval::default() });
    let Request::AuthCertReg { server, address, certificate, .. } = world.registration() else {
        panic!()
    };
    let trial = Request::AuthCertReg { server, address, certificate, dry_run: true };
    assert_eq!(world.send(&trial).unwrap(), 0);
    assert_eq!(world.registry.requests(), []);
    assert_eq!(world.registry.listing().servers.len(), 1);
}

#[test]
fn wrong_signatures_and_wrong_doors_change_nothing() {
    let world =
        World::new(Approval { auth_certificates: true, clients: true, owner_changes: true });
    let refused = |door, content_type: &str, body: Vec<u8>, now| {
        let fault =
            world.registry.take_request(door, Some(content_type), body.into(), now).unwrap_err();
        assert_eq!(world.registry.requests(), []);
        fault.code().to_owned()
    };
    let (content_type, body, _) = world.sent(&world.registration());
    let mut changed = body.clone();
    let address = body.windows(4).position(|w| w == b"ss1.").unwrap();
    changed[address] = b'x';
    assert_eq!(
        refused(Door::Registration, &content_type, changed, world.now),
        "invalid_signature_value"
    );
    let late = world.now + Duration::days(20);
    assert_eq!(refused(Door::Registration, &content_type, body.clone(), late), "cert_validation");
    assert_eq!(refused(Door::Management, &content_type, body, world.now), "invalid_request");
    let (content_type, body, _) = world.sent(&client_reg("DEV/COM/2/SUB"));
    assert_eq!(refused(Door::Registration, &content_type, body, world.now), "invalid_request");
    // Somebody else's server: the sender is not its owner.
    let request = Request::MaintenanceModeDisable { server: server("DEV/COM/2/SS1") };
    let text = soap(&request, &client("DEV/GOV/1"), &client(MANAGEMENT), "id");
    let (party, boundary) = (&world.owner, Boundary::parse("b").unwrap());
    let signatory =
        Signatory { key: &party.key, certificate: &party.certificate, ocsp: &party.ocsp };
    let made = signed(&text, &signatory, &boundary).unwrap();
    assert_eq!(
        refused(Door::Management, &made.content_type, made.body, world.now),
        "invalid_request"
    );
}

#[test]
fn both_sides_ask_for_a_server() {
    let world = World::new(Approval::default());
    // The operator first: the server's request takes effect at once.
    let (first, status) = world.ask(&world.registration()).unwrap();
    assert_eq!(status, RequestStatus::Waiting);
    assert_eq!(world.ask(&world.registration()), Err("management_request_exists"));
    let second = world.send(&world.registration()).unwrap();
    assert_eq!(
        (world.status(first), world.status(second)),
        (RequestStatus::Approved, RequestStatus::Approved)
    );
    assert_eq!(world.request(first).partner, Some(second));
    assert_eq!(found(&world.registry.listing(), SS1).auth_certificates.len(), 1);
    // The server first: the operator still approves.
    let world = World::new(Approval::default());
    let first = world.send(&world.registration()).unwrap();
    let (second, status) = world.ask(&world.registration()).unwrap();
    assert_eq!(status, RequestStatus::SubmittedForApproval);
    assert_eq!(world.status(first), RequestStatus::SubmittedForApproval);
    assert_eq!(
        world.refused(&world.registration()),
        "management_request_exists with statusCode 409"
    );
    assert_eq!(world.approve(first), RequestStatus::Approved);
    assert_eq!(world.status(second), RequestStatus::Approved);
    // An operator's own request is taken back, not declined.
    let world = World::new(Approval::default());
    let (number, _) = world.ask(&world.registration()).unwrap();
    assert_eq!(world.registry.revoke_request(number, world.now).unwrap(), RequestStatus::Revoked);
    let number = world.send(&world.registration()).unwrap();
    let error = world.registry.revoke_request(number, world.now).unwrap_err();
    assert_eq!(error.code(), "management_request_invalid_state");
}

#[test]
fn certificates_must_be_of_an_approved_authority_and_for_authentication() {
    let world = World::new(Approval::default());
    let ask = |certificate: Vec<u8>, now| {
        let request = Request::AuthCertReg {
            server: server(SS1),
            address: None,
            certificate,
            dry_run: false,
        };
        let asked = world.registry.submit_request(&request, Origin::Registry, None, now);
        asked.unwrap_err().code()
    };
    let bad = "management_request_invalid_auth_certificate";
    assert_eq!(ask(world.owner.der(), world.now), bad);
    assert_eq!(ask(vec![1, 2, 3], world.now), bad);
    assert_eq!(ask(crate::support::auth_certificate("x").der().to_vec(), world.now), bad);
    assert_eq!(ask(world.auth.der(), world.now + Duration::days(10)), bad);
    let request = Request::AuthCertReg {
        server: server("DEV/GOV/7/SS1"),
        address: None,
        certificate: world.auth.der(),
        dry_run: false,
    };
    assert_eq!(world.ask(&request), Err("management_request_server_owner_not_found"));
    assert_eq!(world.registry.requests(), []);
}

#[test]
fn unknown_members_are_approved_by_the_operator_alone() {
    let every = Approval { auth_certificates: true, clients: true, owner_changes: true };
    let world = World::with_server(every);
    assert_eq!(world.status(1), RequestStatus::Approved);
    assert_eq!(world.status(2), RequestStatus::Approved);
    // A member that nobody has added: it waits, and comes into being with the approval.
    let stranger = issue(
        &world.authority,
        &world.responder,
        "DEV/COM/3",
        Purpose::Signing,
        Duration::days(1),
        world.now,
    );
    let request = client_reg("DEV/COM/3/SUB");
    let text = soap(&request, &client("DEV/GOV/1"), &client(MANAGEMENT), "id");
    let signatory =
        Signatory { key: &stranger.key, certificate: &stranger.certificate, ocsp: &stranger.ocsp };
    let made = signed(&text, &signatory, &Boundary::parse("b").unwrap()).unwrap();
    let body = made.body.into();
    world
        .registry
        .take_request(Door::Management, Some(&made.content_type), body, world.now)
        .unwrap();
    assert_eq!(world.status(3), RequestStatus::Waiting);
    assert_eq!(world.approve(3), RequestStatus::Approved);
    let listing = world.registry.listing();
    let member = listing.members.iter().find(|m| m.id == "DEV/COM/3").unwrap();
    assert_eq!(member.name.as_deref(), Some("3"));
    // A class that there is not.
    let request = Request::ClientReg {
        server: server(SS1),
        client: client("DEV/ORG/3/SUB"),
        subsystem_name: None,
    };
    let asked = world.registry.submit_request(&request, Origin::SecurityServer, None, world.now);
    let number = asked.unwrap().number;
    let before = world.registry.listing();
    let error = world.registry.approve_request(number, world.now).unwrap_err();
    assert_eq!((error.code(), error.status()), ("member_class_not_found", 404));
    assert_eq!((world.registry.listing(), world.status(number)), (before, RequestStatus::Waiting));
}

#[test]
fn clients_come_and_go() {
    let world = World::with_server(Approval::default());
    assert_eq!(found(&world.registry.listing(), SS1).clients, ["DEV/COM/2/SUB"]);
    let exists = "management_request_client_already_registered with statusCode 409";
    assert_eq!(world.refused(&client_reg("DEV/COM/2/SUB")), exists);
    let owner = "management_request_cannot_register_owner with statusCode 400";
    assert_eq!(world.refused(&client_reg("DEV/GOV/1")), owner);
    // The operator first, then the server.
    let (first, _) = world.ask(&client_reg("DEV/COM/2/TWO")).unwrap();
    let named = Request::ClientReg {
        server: server(SS1),
        client: client("DEV/COM/2/TWO"),
        subsystem_name: Some("Second".into()),
    };
    let second = world.send(&named).unwrap();
    assert_eq!(world.status(first), RequestStatus::Approved);
    assert_eq!(world.status(second), RequestStatus::Approved);
    let listing = world.registry.listing();
    let two = listing.subsystems.iter().find(|s| s.id == "DEV/COM/2/TWO").unwrap();
    assert_eq!(two.name.as_deref(), Some("Second"));
    for (id, code) in [
        ("DEV/COM/9/X", "management_request_member_not_found"),
        ("DEV/GOV/1", "management_request_cannot_register_owner"),
    ] {
        assert_eq!(world.ask(&client_reg(id)), Err(code));
    }
    // Going: a registered one, one that waits, one that was declined, one that never came.
    let gone = |id: &str| Request::ClientDeletion { server: server(SS1), client: client(id) };
    let number = world.send(&gone("DEV/COM/2/SUB")).unwrap();
    assert_eq!(world.status(number), RequestStatus::Approved);
    assert_eq!(found(&world.registry.listing(), SS1).clients, ["DEV/COM/2/TWO"]);
    let waiting = world.send(&client_reg("DEV/COM/2/SUB")).unwrap();
    assert_eq!(
        world.refused(&client_reg("DEV/COM/2/SUB")),
        "management_request_exists with statusCode 409"
    );
    world.send(&gone("DEV/COM/2/SUB")).unwrap();
    assert_eq!(world.status(waiting), RequestStatus::Revoked);
    let none = "management_request_client_registration_not_found with statusCode 404";
    assert_eq!(world.refused(&gone("DEV/COM/2/SUB")), none);
    let declined = world.send(&client_reg("DEV/COM/2/SUB")).unwrap();
    world.registry.decline_request(declined, world.now).unwrap();
    world.send(&gone("DEV/COM/2/SUB")).unwrap();
    assert_eq!(world.status(declined), RequestStatus::Declined);
}

#[test]
fn a_client_is_disabled_and_enabled() {
    let world = World::with_server(Approval::default());
    let off = |id: &str| Request::ClientDisable { server: server(SS1), client: client(id) };
    let on = |id: &str| Request::ClientEnable { server: server(SS1), client: client(id) };
    let none = "management_request_server_client_not_found with statusCode 409";
    assert_eq!(world.refused(&off("DEV/COM/2/TWO")), none);
    assert_eq!(world.refused(&on("DEV/COM/2/TWO")), none);
    let published = || {
        let publication = world.registry.publish(OffsetDateTime::now_utc()).unwrap();
        let directory =
            String::from_utf8_lossy(&publication.file("V6/internalconf").unwrap()).into_owned();
        let at = directory.find("Content-location: /V6/").unwrap() + "Content-location: /".len();
        let stamp = &directory[at..at + 26];
        let shared = publication.file(&format!("{stamp}/shared-params.xml")).unwrap();
        String::from_utf8_lossy(&shared).matches("<client>").count()
    };
    assert_eq!(published(), 2);
    world.send(&off("DEV/COM/2/SUB")).unwrap();
    let listing = world.registry.listing();
    assert_eq!(found(&listing, SS1).clients, ["DEV/COM/2/SUB"]);
    assert_eq!(found(&listing, SS1).disabled_clients, ["DEV/COM/2/SUB"]);
    assert_eq!(published(), 1);
    world.send(&on("DEV/COM/2/SUB")).unwrap();
    assert_eq!(published(), 2);
    // The management services themselves stay.
    world.registry.add_client(&server(SS1), &client(MANAGEMENT)).unwrap();
    let stays = "mr_forbidden_disable_management_service_client with statusCode 409";
    assert_eq!(world.refused(&off(MANAGEMENT)), stays);
}

#[test]
fn names_and_addresses_change() {
    let world = World::with_server(Approval::default());
    let rename = |id: &str, name: &str| Request::ClientRename {
        server: server(SS1),
        client: client(id),
        subsystem_name: name.into(),
    };
    world.send(&rename("DEV/COM/2/SUB", "First")).unwrap();
    let number = world.send(&rename("DEV/COM/2/SUB", "Second")).unwrap();
    let comments = world.request(number).comments.unwrap();
    assert_eq!(comments, "Changing subsystem name from 'First' to 'Second'.");
    let none = "management_request_server_client_not_found with statusCode 409";
    assert_eq!(world.refused(&rename("DEV/COM/2/TWO", "X")), none);
    let address =
        |address: &str| Request::AddressChange { server: server(SS1), address: address.into() };
    let number = world.send(&address("192.0.2.9")).unwrap();
    assert_eq!(world.request(number).comments.unwrap(), "Changing from 'ss1.example.org'.");
    assert_eq!(found(&world.registry.listing(), SS1).address.as_deref(), Some("192.0.2.9"));
    let other = Request::AddressChange { server: server("DEV/GOV/1/SS9"), address: "x".into() };
    assert_eq!(world.refused(&other), "management_request_server_not_found with statusCode 404");
}

#[test]
fn maintenance_begins_and_ends() {
    let world = World::with_server(Approval::default());
    let begin = Request::MaintenanceModeEnable {
        server: server(SS1),
        message: Some("Back\nat noon".into()),
    };
    let end = Request::MaintenanceModeDisable { server: server(SS1) };
    let not = "management_request_server_not_in_maintenance_mode with statusCode 409";
    assert_eq!(world.refused(&end), not);
    world.send(&begin).unwrap();
    assert!(found(&world.registry.listing(), SS1).maintenance);
    let already = "management_request_server_already_in_maintenance_mode with statusCode 409";
    assert_eq!(world.refused(&begin), already);
    world.send(&end).unwrap();
    assert!(!found(&world.registry.listing(), SS1).maintenance);
    world.registry.add_client(&server(SS1), &client(MANAGEMENT)).unwrap();
    let serves = "mr_forbidden_enable_maintenance_mode_for_management_service with statusCode 409";
    assert_eq!(world.refused(&begin), serves);
    let other = Request::MaintenanceModeEnable { server: server("DEV/GOV/1/SS9"), message: None };
    assert_eq!(world.refused(&other), "management_request_server_not_found with statusCode 404");
}

#[test]
fn an_owner_hands_over() {
    let world = World::with_server(Approval::default());
    let hand_over = |id: &str| Request::OwnerChange { server: server(SS1), client: client(id) };
    let error = |request: &Request| {
        let asked = world.registry.submit_request(request, Origin::SecurityServer, None, world.now);
        asked.unwrap_err().code()
    };
    assert_eq!(error(&hand_over("DEV/COM/2/SUB")), "management_request_owner_must_be_member");
    assert_eq!(error(&hand_over("DEV/COM/2")), "management_request_owner_must_be_client");
    let number = world.send(&client_reg("DEV/COM/2")).unwrap();
    world.approve(number);
    world.registry.add_server(&server("DEV/COM/2/SS1"), "x.example.org").unwrap();
    assert_eq!(error(&hand_over("DEV/COM/2")), "management_request_server_code_exists");
    world.registry.edit(Edit::ServerRemove { id: server("DEV/COM/2/SS1") }).unwrap();
    let number = world.send(&hand_over("DEV/COM/2")).unwrap();
    assert_eq!(world.status(number), RequestStatus::Waiting);
    assert_eq!(
        world.refused(&hand_over("DEV/COM/2")),
        "management_request_exists with statusCode 409"
    );
    let before = world.registry.listing();
    let ss1 = found(&before, SS1).clone();
    world.approve(number);
    let after = world.registry.listing();
    assert!(after.servers.iter().all(|s| s.id != SS1));
    let now = found(&after, "DEV/COM/2/SS1");
    assert_eq!(now.auth_certificates, ss1.auth_certificates);
    assert_eq!(now.address, ss1.address);
    assert_eq!(now.clients, ["DEV/COM/2/SUB", "DEV/GOV/1"]);
    let owners = after.groups.iter().find(|g| g.code == "security-server-owners").unwrap();
    assert_eq!(owners.members, ["DEV/COM/2", "DEV/GOV/0"]);
}

#[test]
fn a_certificate_is_given_up() {
    let world = World::new(Approval::default());
    let delete =
        |id: &str| Request::AuthCertDeletion { server: server(id), certificate: world.auth.der() };
    let none = "management_request_invalid_auth_certificate with statusCode 409";
    assert_eq!(world.refused(&delete(SS1)), none);
    let waiting = world.send(&world.registration()).unwrap();
    world.send(&delete(SS1)).unwrap();
    assert_eq!(world.status(waiting), RequestStatus::Revoked);
    let number = world.send(&world.registration()).unwrap();
    world.approve(number);
    let other = "security_server_not_found with statusCode 404";
    assert_eq!(world.refused(&delete("DEV/GOV/1/SS2")), other);
    world.send(&delete(SS1)).unwrap();
    assert_eq!(found(&world.registry.listing(), SS1).auth_certificates, []);
}

#[test]
fn requests_outlive_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let world = World::with_server(Approval::default());
    let mut records = central_registry::Records::open(&config).unwrap();
    records.edit(Edit::MemberClassAdd { code: "GOV".into(), description: "x".into() }).unwrap();
    records.edit(Edit::MemberAdd { id: member("DEV/GOV/1"), name: "x".into() }).unwrap();
    let id = server(SS1);
    records.edit(Edit::ServerAdd { id: id.clone(), address: "a".into() }).unwrap();
    let asked = [
        Request::AddressChange { server: id.clone(), address: "b".into() },
        Request::MaintenanceModeEnable { server: id.clone(), message: Some("m".into()) },
        client_reg("DEV/GOV/1/SUB"),
    ];
    for request in &asked {
        let (by, approval) = (Origin::SecurityServer, Approval::default());
        records.submit_request(request, by, Some("said"), &approval, world.now).unwrap();
    }
    records.approve_request(3, world.now).unwrap();
    let disable = Request::ClientDisable { server: id, client: client("DEV/GOV/1/SUB") };
    records
        .submit_request(&disable, Origin::SecurityServer, None, &Approval::default(), world.now)
        .unwrap();
    let kept = (records.listing(), records.requests());
    assert_eq!(kept.1.len(), 4);
    drop(records);
    // The store lets go of its folder a little after it is dropped.
    let reopened = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        central_registry::Records::open(&config).ok()
    });
    let records = reopened.unwrap();
    assert_eq!((records.listing(), records.requests()), kept);
}

//! Requests and decisions in any order: whatever happens, the records fit together, and what is refused
//! leaves no trace.

use std::sync::LazyLock;

use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_management::{Kind, Request};
use central_registry::store::MemoryStore;
use central_registry::{
    Approval, CaCertificateRecord, CaRecord, Edit, Origin, Records, RequestError, RequestStatus,
};
use proptest::prelude::*;
use time::OffsetDateTime;

use crate::requests::World;
use crate::support::{client, member, record, server};

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(Approval::default()));

#[derive(Debug, Clone)]
enum Step {
    Ask(Request, Origin),
    Approve(u64),
    Decline(u64),
    Revoke(u64),
}

fn a_server() -> impl Strategy<Value = SecurityServerId> {
    // Mostly the one that is there at first.
    prop_oneof![4 => "DEV/GOV/1/S", 2 => "DEV/COM/2/S", 1 => "DEV/COM/3/S"]
        .prop_map(|id| server(&id))
}

fn a_client() -> impl Strategy<Value = ClientId> {
    prop_oneof!["DEV/GOV/1", "DEV/COM/2", "DEV/COM/2/A", "DEV/COM/3/A", "DEV/ORG/4/A"]
        .prop_map(|id| client(&id))
}

fn a_request() -> impl Strategy<Value = Request> {
    let kinds = (0..Kind::ALL.len(), a_server(), a_client(), any::<bool>(), 0..2_usize);
    kinds.prop_map(|(kind, server, client, flag, certificate)| {
        let certificate = WORLD.certificates()[certificate].clone();
        let name = flag.then(|| "A name".to_owned());
        match Kind::ALL[kind] {
            Kind::AuthCertReg => {
                let address = Some("a.example.org".to_owned());
                Request::AuthCertReg { server, address, certificate, dry_run: false }
            }
            Kind::AuthCertDeletion => Request::AuthCertDeletion { server, certificate },
            Kind::ClientReg => Request::ClientReg { server, client, subsystem_name: name },
            Kind::ClientDeletion => Request::ClientDeletion { server, client },
            Kind::OwnerChange => Request::OwnerChange { server, client },
            Kind::ClientDisable => Request::ClientDisable { server, client },
            Kind::ClientEnable => Request::ClientEnable { server, client },
            Kind::ClientRename => {
                let subsystem_name = name.unwrap_or_default();
                Request::ClientRename { server, client, subsystem_name }
            }
            Kind::AddressChange => {
                Request::AddressChange { server, address: name.map_or("b", |_| "").into() }
            }
            Kind::MaintenanceModeEnable => Request::MaintenanceModeEnable { server, message: name },
            Kind::MaintenanceModeDisable => Request::MaintenanceModeDisable { server },
        }
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    let origin = prop_oneof![Just(Origin::SecurityServer), Just(Origin::Registry)];
    prop_oneof![
        6 => (a_request(), origin).prop_map(|(request, origin)| Step::Ask(request, origin)),
        4 => (1..12_u64).prop_map(Step::Approve),
        1 => (1..12_u64).prop_map(Step::Decline),
        1 => (1..12_u64).prop_map(Step::Revoke),
    ]
}

fn small_instance() -> Records {
    let mut records = Records::with_store(Box::new(MemoryStore::default()), "DEV").unwrap();
    let ca = CaRecord {
        authentication_only: false,
        profile: "BasicCertificateProfileInfoProvider".into(),
        top: CaCertificateRecord { certificate: record(WORLD.authority()), ocsp: vec![] },
        intermediates: vec![],
        acme_url: None,
        acme_addresses: None,
        csr_format: None,
    };
    let class = |code: &str| Edit::MemberClassAdd { code: code.into(), description: "x".into() };
    let add = |id: &str| Edit::MemberAdd { id: member(id), name: "x".into() };
    let edits = [
        class("GOV"),
        class("COM"),
        add("DEV/GOV/1"),
        add("DEV/COM/2"),
        Edit::SubsystemAdd { id: client("DEV/COM/2/A"), name: None },
        Edit::ServerAdd { id: server("DEV/GOV/1/S"), address: "s.example.org".into() },
        Edit::ClientAdd { server: server("DEV/GOV/1/S"), client: client("DEV/COM/2") },
        Edit::ManagementSet {
            provider: client("DEV/COM/2/A"),
            registration_url: None,
            registration_certificate: None,
        },
        Edit::CaAdd { name: "CA".into(), ca: Box::new(ca) },
    ];
    records.edit_all(edits).unwrap();
    records
}

/// What must hold of records and requests at any time.
fn check(records: &Records) {
    let (listing, requests) = (records.listing(), records.requests());
    let members: Vec<&str> = listing.members.iter().map(|m| m.id.as_str()).collect();
    let subsystems: Vec<&str> = listing.subsystems.iter().map(|s| s.id.as_str()).collect();
    for id in &subsystems {
        assert!(members.contains(&id.rsplit_once('/').unwrap().0), "{id}");
    }
    for server in &listing.servers {
        assert!(members.contains(&server.id.rsplit_once('/').unwrap().0), "{}", server.id);
        for client in &server.clients {
            assert!(members.contains(&client.as_str()) || subsystems.contains(&client.as_str()));
            assert!(!server.id.starts_with(&format!("{client}/S")), "an owner is no client");
        }
        assert!(server.disabled_clients.iter().all(|c| server.clients.contains(c)));
        assert!(!server.disabled_clients.contains(&"DEV/COM/2/A".to_owned()));
    }
    let mut certificates: Vec<_> =
        listing.servers.iter().flat_map(|s| &s.auth_certificates).map(|c| &c.sha256).collect();
    let all = certificates.len();
    certificates.sort();
    certificates.dedup();
    assert_eq!(certificates.len(), all, "a certificate is registered twice");
    for request in &requests {
        assert_eq!(request.status.is_pending(), request.decided_unix.is_none());
        if !["authCertReg", "clientReg", "ownerChange"].contains(&request.kind.as_str()) {
            assert_eq!(request.status, RequestStatus::Approved);
        }
        if let Some(partner) = request.partner {
            let partner = requests.iter().find(|r| r.number == partner).unwrap();
            assert_eq!(partner.partner, Some(request.number));
            assert_eq!(partner.status, request.status);
            assert_ne!(partner.origin, request.origin);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_records_always_fit_together(
        steps in proptest::collection::vec(a_step(), 1..60),
        flags in any::<(bool, bool, bool)>(),
    ) {
        let (auth_certificates, clients, owner_changes) = flags;
        let approval = Approval { auth_certificates, clients, owner_changes };
        let now = OffsetDateTime::now_utc();
        let mut records = small_instance();
        for step in steps {
            let before = (records.listing(), records.requests());
            let done: Result<(), RequestError> = match &step {
                Step::Ask(request, origin) => {
                    records.submit_request(request, *origin, None, &approval, now).map(drop)
                }
                Step::Approve(number) => records.approve_request(*number, now).map(drop),
                Step::Decline(number) => records.decline_request(*number, now).map(drop),
                Step::Revoke(number) => records.revoke_request(*number, now).map(drop),
            };
            let after = (records.listing(), records.requests());
            match done {
                Ok(()) => check(&records),
                Err(refused) => {
                    prop_assert_eq!(&after, &before, "{:?}", step);
                    prop_assert_ne!(refused.status(), 500, "{:?}: {}", step, refused);
                }
            }
            if matches!(step, Step::Decline(_) | Step::Revoke(_)) {
                prop_assert_eq!(after.0, before.0);
            }
        }
    }
}

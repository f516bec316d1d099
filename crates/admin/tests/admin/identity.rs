//! Users, keys and sessions.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_admin::identity::{
    ApiKeys, IdentityError, PasswordPolicy, Role, SessionLimits, Sessions,
};
use causeway_admin::store::{Change, EmbeddedStore, StoreError};
use causeway_admin::{Randomness, SystemRandomness, Unavailable};
use proptest::prelude::*;

use crate::support::{PASSWORD, PERMISSIONS, everything, in_memory, open, over_both_stores, roles};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

struct NoRandomness;

impl Randomness for NoRandomness {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), Unavailable> {
        Err(Unavailable)
    }
}

#[test]
fn both_stores_keep_rows_alike() {
    over_both_stores(|store| {
        let store = store();
        let put = |k: &[u8], v: &[u8]| Change::Put(k.to_vec(), v.to_vec());
        store.commit(&[put(b"a1", b"x"), put(b"a2", b"y"), put(b"b", b"z")]).unwrap();
        store.commit(&[put(b"a2", b"w"), Change::Delete(b"b".to_vec()), put(b"b", b"v")]).unwrap();
        store.commit(&[Change::Delete(b"none".to_vec())]).unwrap();
        let rows = |prefix: &[u8]| store.rows(prefix).unwrap();
        assert_eq!(rows(b"a"), [(b"a1".to_vec(), b"x".to_vec()), (b"a2".to_vec(), b"w".to_vec())]);
        assert_eq!(rows(b"b"), [(b"b".to_vec(), b"v".to_vec())]);
        assert_eq!(rows(b"").len(), 3);
    });
}

#[test]
fn the_embedded_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::InUse)));
}

#[test]
fn a_key_opens_until_it_is_revoked_also_after_a_restart() {
    over_both_stores(|store| {
        let identity = open(store());
        let new = identity
            .create_api_key(roles([Role::Observer, Role::RegistrationOfficer]), &everything())
            .unwrap();
        assert_eq!(new.key.id, 1);
        let other = identity.create_api_key(roles([Role::Observer]), &everything()).unwrap();
        assert_ne!(*new.secret, *other.secret);
        drop(identity);

        let identity = open(store());
        let principal = identity.by_api_key(&new.secret).unwrap();
        assert_eq!(principal.name, "api-key-1");
        assert_eq!(principal.roles, new.key.roles);
        for wrong in ["", "x", &new.secret[1..], &format!("{}=", *new.secret), &"k".repeat(5000)] {
            assert!(identity.by_api_key(wrong).is_none());
        }
        identity.update_api_key(1, roles([Role::Observer]), &everything()).unwrap();
        assert_eq!(identity.by_api_key(&new.secret).unwrap().roles, roles([Role::Observer]));
        identity.revoke_api_key(1).unwrap();
        assert!(identity.by_api_key(&new.secret).is_none());
        assert!(matches!(identity.revoke_api_key(1), Err(IdentityError::NoSuchKey(1))));
        identity.revoke_api_key(2).unwrap();
        drop(identity);

        // Identifiers are never given twice, or the audit log would name another's deeds.
        let identity = open(store());
        assert!(identity.api_keys().is_empty());
        let third = identity.create_api_key(roles([Role::Observer]), &everything()).unwrap();
        assert_eq!(third.key.id, 3);
    });
}

#[test]
fn the_store_does_not_hold_the_key_itself() {
    over_both_stores(|store| {
        let shared = store();
        let secret = {
            drop(shared);
            let identity = open(store());
            identity.create_api_key(roles([Role::Observer]), &everything()).unwrap().secret
        };
        for (key, value) in store().rows(b"").unwrap() {
            let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!holds(&key) && !holds(&value));
        }
    });
}

#[test]
fn nobody_gives_a_role_that_they_do_not_hold() {
    let identity = in_memory();
    let admin = roles([Role::SystemAdministrator]);
    let create = |wanted, held: &BTreeSet<Role>| identity.create_api_key(wanted, held);
    assert!(matches!(
        create(roles([Role::SecurityOfficer]), &admin),
        Err(IdentityError::RoleNotHeld(Role::SecurityOfficer))
    ));
    assert!(create(roles([Role::ManagementService]), &admin).is_ok());
    assert!(create(roles([Role::ManagementService]), &roles([Role::SecurityOfficer])).is_err());
    // A role that the key has may stay, whoever changes the others.
    let key = create(roles([Role::SecurityOfficer]), &everything()).unwrap().key;
    let both = roles([Role::SecurityOfficer, Role::SystemAdministrator]);
    assert!(identity.update_api_key(key.id, both.clone(), &admin).is_ok());
    identity.update_api_key(key.id, admin.clone(), &admin).unwrap();
    assert!(identity.update_api_key(key.id, both, &admin).is_err());
}

#[test]
fn users_sign_in_after_a_restart_and_wrong_passwords_wait() {
    over_both_stores(|store| {
        let identity = open(store());
        identity.add_user("alice", PASSWORD, roles([Role::SecurityOfficer])).unwrap();
        assert!(matches!(
            identity.add_user("alice", PASSWORD, roles([Role::Observer])),
            Err(IdentityError::UserExists(_))
        ));
        drop(identity);
        let identity = open(store());
        let sign_in = |password: &str, now| identity.by_password("alice", password, HOME, now);
        assert_eq!(sign_in(PASSWORD, 0).unwrap().roles, roles([Role::SecurityOfficer]));
        for _ in 0..3 {
            assert!(matches!(sign_in("wrong", 10), Err(IdentityError::WrongPassword)));
        }
        // Even the right one must wait now, and does not count.
        for _ in 0..5 {
            assert!(matches!(sign_in(PASSWORD, 11), Err(IdentityError::TooSoon { seconds: 1 })));
        }
        sign_in(PASSWORD, 12).unwrap();
        assert!(matches!(
            identity.by_password("nobody", PASSWORD, HOME, 20),
            Err(IdentityError::WrongPassword)
        ));
    });
}

#[test]
fn a_users_failures_outlive_a_restart() {
    over_both_stores(|store| {
        let fail_from = |identity: &causeway_admin::identity::Identity, n: u8| {
            let address = IpAddr::V4([10, 0, 0, n].into());
            identity.by_password("alice", "wrong", address, 100).unwrap_err()
        };
        let identity = open(store());
        identity.add_user("alice", PASSWORD, roles([Role::Observer])).unwrap();
        for n in 0..20 {
            assert!(matches!(fail_from(&identity, n), IdentityError::WrongPassword));
        }
        drop(identity);
        let identity = open(store());
        assert!(matches!(fail_from(&identity, 99), IdentityError::TooSoon { .. }));
    });
}

#[test]
fn names_and_passwords_are_judged() {
    let identity = in_memory();
    let add = |name: &str, password: &str| {
        identity.add_user(name, password, roles([Role::Observer])).map_err(|e| e.to_string())
    };
    let long = "n".repeat(65);
    for name in ["", "a b", "api-key-1", "system", "ä", "a\0", &long] {
        assert!(add(name, PASSWORD).is_err(), "{name}");
    }
    let long = format!("aB1{}", "x".repeat(253));
    for password in ["", "Short-1", "only-lower-case", "Ctrl-chars-1\n", "Carol-is-my-name", &long]
    {
        assert!(add("carol", password).is_err(), "{password}");
    }
    assert!(identity.add_user("carol", PASSWORD, BTreeSet::new()).is_err());
    assert!(PasswordPolicy::default().check("u", "Pässwörter-9").is_ok());
    add("carol", PASSWORD).unwrap();
    assert_eq!(identity.users().len(), 1);
}

#[test]
fn a_session_ends_with_idleness_age_sign_out_and_changes_of_its_user() {
    let identity = in_memory();
    identity.add_user("alice", PASSWORD, roles([Role::Observer])).unwrap();
    let sign_in = |now| {
        let principal = identity.by_password("alice", PASSWORD, HOME, now).unwrap();
        identity.begin_session(&principal, None, now).unwrap()
    };
    let first = sign_in(0);
    assert!(identity.session(&first.cookie, 1799, true).is_some());
    assert!(identity.session(&first.cookie, 3598, false).is_some());
    // Looking without a sign of life did not extend it.
    assert!(identity.session(&first.cookie, 3599, true).is_none());
    assert!(identity.session(&first.cookie, 3000, true).is_none(), "ended is ended");

    let second = sign_in(10_000);
    for now in (10_000..53_200).step_by(1000) {
        assert!(identity.session(&second.cookie, now, true).is_some());
    }
    assert!(identity.session(&second.cookie, 53_200, true).is_none(), "twelve hours");

    let third = sign_in(60_000);
    identity.end_session(&third.cookie);
    assert!(identity.session(&third.cookie, 60_001, true).is_none());

    let fourth = sign_in(61_000);
    identity.change_user("alice", None, Some(roles([Role::SecurityOfficer]))).unwrap();
    assert!(identity.session(&fourth.cookie, 61_001, true).is_none());
    let fifth = sign_in(62_000);
    identity.remove_user("alice").unwrap();
    assert!(identity.session(&fifth.cookie, 62_001, true).is_none());
}

#[test]
fn a_session_that_the_browser_brought_is_not_kept() {
    let identity = in_memory();
    identity.add_user("eve", PASSWORD, roles([Role::Observer])).unwrap();
    let eve = identity.by_password("eve", PASSWORD, HOME, 0).unwrap();
    let planted = identity.begin_session(&eve, None, 0).unwrap();
    let new = identity.begin_session(&eve, Some(&planted.cookie), 1).unwrap();
    assert_ne!(*new.cookie, *planted.cookie);
    assert!(identity.session(&planted.cookie, 2, true).is_none());
    assert!(identity.session("a-value-of-my-own", 2, true).is_none());
}

#[test]
fn sessions_are_bounded() {
    let random = SystemRandomness::default();
    let limits = SessionLimits { per_user: 2, most: 4, ..SessionLimits::default() };
    let mut sessions = Sessions::new(limits);
    let mut begin = |user: &str, now| {
        let new = sessions.begin(user, roles([Role::Observer]), now, &random).unwrap();
        (new.cookie, now)
    };
    let of_a: Vec<_> = (0..3).map(|now| begin("a", now)).collect();
    let of_others: Vec<_> = (3..6).map(|now| begin(&format!("u{now}"), now)).collect();
    let living = |sessions: &mut Sessions, of: &[(zeroize::Zeroizing<String>, i64)]| {
        of.iter().filter(|(cookie, _)| sessions.find(cookie, 10, false).is_some()).count()
    };
    assert_eq!(living(&mut sessions, &of_a), 1);
    assert_eq!(living(&mut sessions, &of_others), 3);
    assert!(sessions.begin("a", BTreeSet::new(), 0, &NoRandomness).is_err());
}

#[test]
fn a_request_must_show_the_sessions_token_twice() {
    let mut sessions = Sessions::default();
    let new = sessions.begin("a", BTreeSet::new(), 0, &SystemRandomness::default()).unwrap();
    let view = sessions.find(&new.cookie, 1, true).unwrap();
    let right = Some(new.csrf.as_str());
    assert!(view.csrf_holds(right, right));
    for wrong in [None, Some(""), Some("x"), Some(&new.csrf[1..]), Some(new.cookie.as_str())] {
        assert!(!view.csrf_holds(wrong, right));
        assert!(!view.csrf_holds(right, wrong));
        assert!(!view.csrf_holds(wrong, wrong));
    }
}

#[test]
fn there_are_at_most_a_thousand_keys() {
    let random = SystemRandomness::default();
    let (mut keys, _) = ApiKeys::read(&[], &random).unwrap();
    let mut secrets = Vec::new();
    for _ in 0..causeway_admin::identity::MAX_API_KEYS {
        let (new, changes) = keys.create(roles([Role::Observer]), &everything(), &random).unwrap();
        keys.apply(&changes).unwrap();
        secrets.push(new);
    }
    assert!(keys.create(roles([Role::Observer]), &everything(), &random).is_err());
    for new in secrets.iter().step_by(97) {
        assert_eq!(keys.find(&new.secret).unwrap().name, format!("api-key-{}", new.key.id));
    }
}

#[test]
fn the_table_says_who_may() {
    assert!(PERMISSIONS.allow(&roles([Role::Observer]), "VIEW_THINGS"));
    assert!(!PERMISSIONS.allow(&roles([Role::Observer]), "ADD_THING"));
    assert!(!PERMISSIONS.allow(&everything(), "UNKNOWN"));
    assert!(!PERMISSIONS.allow(&BTreeSet::new(), "VIEW_THINGS"));
    assert_eq!(PERMISSIONS.of(&roles([Role::RegistrationOfficer])).len(), 2);
}

proptest! {
    #[test]
    fn nothing_but_a_key_is_a_key(text in ".{0,64}") {
        let (mut keys, _) = ApiKeys::read(&[], &SystemRandomness::default()).unwrap();
        let made = keys.create(roles([Role::Observer]), &everything(), &SystemRandomness::default());
        keys.apply(&made.unwrap().1).unwrap();
        prop_assert!(keys.find(&text).is_none());
    }

    #[test]
    fn rows_that_are_damaged_do_not_panic(rows in proptest::collection::vec(
        (prop_oneof![
            Just(b"api-key-secret".to_vec()),
            Just(b"api-key-last".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(|id| [b"api-key\0".as_slice(), &id].concat()),
        ], proptest::collection::vec(any::<u8>(), 0..40)), 0..4)) {
        let _ = ApiKeys::read(&rows, &SystemRandomness::default());
    }
}

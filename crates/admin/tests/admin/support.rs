//! Roles of a small trade, and stores of both kinds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_admin::SystemRandomness;
use causeway_admin::audit::{AuditLog, GENESIS, verify};
use causeway_admin::http::{Accepts, Access, Answer, Document, EdgeSettings, Gate, Problem, Route};
use causeway_admin::identity::{Cost, Identity, Permissions, Role, Settings};
use causeway_admin::store::{EmbeddedStore, MemoryStore, Store};
use http::Method;
use time::OffsetDateTime;

pub(crate) const PERMISSIONS: Permissions = Permissions::new(&[
    ("VIEW_THINGS", &[Role::RegistrationOfficer, Role::Observer]),
    ("ADD_THING", &[Role::RegistrationOfficer]),
    ("CREATE_API_KEY", &[Role::SystemAdministrator]),
    ("VIEW_API_KEYS", &[Role::SystemAdministrator]),
    ("UPDATE_API_KEY", &[Role::SystemAdministrator]),
    ("REVOKE_API_KEY", &[Role::SystemAdministrator]),
]);

pub(crate) const PASSWORD: &str = "Correct-horse-7";

pub(crate) fn settings() -> Settings {
    Settings { cost: Cost::LEAST, ..Settings::new(PERMISSIONS) }
}

pub(crate) fn open(store: Box<dyn Store>) -> Identity {
    Identity::open(settings(), store, Box::<SystemRandomness>::default()).unwrap()
}

pub(crate) fn in_memory() -> Identity {
    open(Box::<MemoryStore>::default())
}

pub(crate) fn roles<const N: usize>(roles: [Role; N]) -> BTreeSet<Role> {
    roles.into()
}

pub(crate) fn everything() -> BTreeSet<Role> {
    Role::ALL.into()
}

/// Runs a story over both kinds of stores.
pub(crate) fn over_both_stores(story: impl Fn(&dyn Fn() -> Box<dyn Store>)) {
    let memory = std::sync::Arc::new(MemoryStore::default());
    story(&|| Box::new(Shared(std::sync::Arc::clone(&memory))));
    let folder = tempfile::tempdir().unwrap();
    story(&|| Box::new(EmbeddedStore::open(&folder.path().join("store")).unwrap()));
}

/// A memory store that outlives the one who opened it, as a folder does.
struct Shared(std::sync::Arc<MemoryStore>);

impl Store for Shared {
    fn rows(
        &self,
        prefix: &[u8],
    ) -> Result<Vec<causeway_admin::store::Row>, causeway_admin::store::StoreError> {
        self.0.rows(prefix)
    }

    fn commit(
        &self,
        changes: &[causeway_admin::store::Change],
    ) -> Result<(), causeway_admin::store::StoreError> {
        self.0.commit(changes)
    }
}

/// A gate before a small trade: things that can be seen and added.
pub(crate) struct Scene {
    pub(crate) gate: std::sync::Arc<Gate>,
    pub(crate) identity: std::sync::Arc<Identity>,
    pub(crate) audit: std::sync::Arc<AuditLog>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
pub(crate) const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

pub(crate) fn things() -> Vec<Route> {
    let things = std::sync::Arc::new(std::sync::Mutex::new(vec!["first".to_owned()]));
    let (seen, added) = (std::sync::Arc::clone(&things), things);
    vec![
        Route::new(
            Method::GET,
            "/api/v1/things",
            "getThings",
            Access::Permission("VIEW_THINGS"),
            move |_| Answer::json(&*seen.lock().unwrap()),
        )
        .described("things", "see the things")
        .answers(200, Some("[]Thing")),
        Route::new(
            Method::POST,
            "/api/v1/things",
            "addThing",
            Access::Permission("ADD_THING"),
            move |call| {
                let name: String = call.json()?;
                call.note("code", name.as_str());
                let mut things = added.lock().unwrap();
                if things.contains(&name) {
                    return Err(Problem::conflict("thing_exists", "there is one").about(name));
                }
                things.push(name.clone());
                Answer::created(&name)
            },
        )
        .described("things", "add a thing")
        .accepts(Accepts::Json("Thing"))
        .answers(201, Some("Thing"))
        .event("Add thing"),
        Route::new(
            Method::GET,
            "/api/v1/things/{thing_id}",
            "getThing",
            Access::Permission("VIEW_THINGS"),
            |call| {
                Answer::json(&serde_json::json!({
                    "id": call.parameter("thing_id"), "q": call.query("q"),
                }))
            },
        )
        .described("things", "see a thing")
        .answers(200, Some("Thing")),
        Route::new(
            Method::GET,
            "/api/v1/things/special",
            "getSpecialThing",
            Access::SignedIn,
            |_| Answer::json(&"special"),
        ),
    ]
}

pub(crate) fn document() -> Document {
    let schemas = serde_json::json!({ "Thing": { "type": "string" } });
    Document {
        title: "Things".into(),
        version: "1".into(),
        schemas: schemas.as_object().unwrap().clone(),
    }
}

pub(crate) fn scene(settings: EdgeSettings) -> Scene {
    scene_with(settings, |_| {})
}

/// A scene whose audit log's folder is prepared beforehand.
pub(crate) fn scene_with(settings: EdgeSettings, prepare: impl FnOnce(&std::path::Path)) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    prepare(&folder.path().join("audit"));
    let identity = std::sync::Arc::new(in_memory());
    identity.add_user("admin", PASSWORD, everything()).unwrap();
    identity.add_user("observer", PASSWORD, roles([Role::Observer])).unwrap();
    let audit = AuditLog::open(&folder.path().join("audit"), 1 << 30, OffsetDateTime::UNIX_EPOCH);
    let audit = std::sync::Arc::new(audit.unwrap().0);
    let gate = Gate::new(
        std::sync::Arc::clone(&identity),
        std::sync::Arc::clone(&audit),
        Box::<SystemRandomness>::default(),
        things(),
        &document(),
        settings,
    );
    Scene { gate: std::sync::Arc::new(gate.unwrap()), identity, audit, folder }
}

/// An answer in short.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The value that a cookie is set to.
    pub(crate) fn cookie(&self, name: &str) -> String {
        let set = self.headers.get_all("set-cookie").iter();
        let values = set.filter_map(|v| v.to_str().unwrap().strip_prefix(&format!("{name}=")));
        values.map(|v| v.split(';').next().unwrap().to_owned()).next().unwrap_or_default()
    }
}

impl Scene {
    pub(crate) fn key<const N: usize>(&self, of: [Role; N]) -> String {
        let new = self.identity.create_api_key(roles(of), &everything()).unwrap();
        format!("X-Road-ApiKey token={}", *new.secret)
    }

    /// Sends a request through the gate as the server would, without a socket. Each comes a second after
    /// the one before, unless it says otherwise.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        from: IpAddr,
    ) -> Got {
        static CLOCK: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1_000_000);
        let now = CLOCK.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.send_at(now, method, path, headers, body, from)
    }

    pub(crate) fn send_at(
        &self,
        now: i64,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        from: IpAddr,
    ) -> Got {
        let mut request = http::Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("Host", "localhost:4000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        let response = match self.gate.admit(&head, from, now) {
            Ok(admitted) => self.gate.perform(admitted, body.to_owned().into()),
            Err(refusal) => *refusal,
        };
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Got { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) fn sign_in(&self, user: &str, extra: &[(&str, &str)]) -> Got {
        let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend(extra);
        let body = format!("username={user}&password={PASSWORD}");
        self.send("POST", "/login", &headers, &body, AWAY)
    }

    /// The lines of the audit log, which must be whole.
    pub(crate) fn audited(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read(self.folder.path().join("audit/audit.log")).unwrap();
        let report = verify(text.as_slice(), Some(GENESIS)).unwrap();
        assert!(report.is_whole(), "{report:?}");
        text.split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    pub(crate) fn last_event(&self) -> String {
        self.audited().last().unwrap()["event"].as_str().unwrap().to_owned()
    }
}

/// Headers of a session.
pub(crate) fn session_headers(session: &str, csrf: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Cookie", format!("__Host-session={session}; XSRF-TOKEN={csrf}")),
        ("X-XSRF-TOKEN", csrf.to_owned()),
    ]
}

pub(crate) fn borrowed<'h>(headers: &'h [(&'static str, String)]) -> Vec<(&'h str, &'h str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

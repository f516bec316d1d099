//! What stands before every route.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SET_COOKIE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use time::OffsetDateTime;

use super::answer::Body;
use super::call::Notes;
use super::credentials::{Presented, presented};
use super::route::Found;
use super::{
    Accepts, Access, Answer, Call, Document, Networks, Problem, Rates, Route, RouteError, Routes,
    Throttle, form, own,
};
use crate::audit::{AuditLog, Entry, event};
use crate::identity::{Identity, Principal, Scheme, network};
use crate::random::{self, Randomness};

/// How the edge judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSettings {
    /// Names under which the server may be addressed, without ports; empty for any.
    pub allowed_hosts: Vec<String>,
    /// From where user name and password count for work on API keys; by default this machine alone.
    pub key_management_from: Networks,
    /// From where API keys count; by default everywhere.
    pub api_from: Networks,
    /// The longest body, in bytes; default 50 KiB, X-Road's.
    pub longest_body: usize,
    /// The longest body of a form with files, in bytes; default 1 MiB.
    pub longest_upload: usize,
    /// How many requests an address may make.
    pub rates_by_address: Rates,
    /// How many requests a user or API key may make, from wherever.
    pub rates_by_principal: Rates,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            key_management_from: Networks::loopback(),
            api_from: Networks::all(),
            longest_body: 50 << 10,
            longest_upload: 1 << 20,
            rates_by_address: Rates::default(),
            rates_by_principal: Rates::default(),
        }
    }
}

/// A request that may be carried out once its body is here.
#[derive(Debug)]
pub struct Admitted {
    route: usize,
    call: Call,
    path: String,
    correlation: String,
    /// How long its body may be, in bytes.
    pub longest_body: usize,
}

/// What stands before the routes of one server.
pub struct Gate {
    identity: Arc<Identity>,
    audit: Arc<AuditLog>,
    random: Box<dyn Randomness>,
    routes: Routes,
    settings: EdgeSettings,
    by_address: Mutex<Throttle<IpAddr>>,
    by_principal: Mutex<Throttle<String>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({} routes)", self.routes.all().len())
    }
}

impl Gate {
    /// A gate before the routes of a trade, and those that every server has: `/login`, `/logout`,
    /// `/api/v1/user`, `/api/v1/api-keys`, `/api/v1/notifications/session-status` and
    /// `/api/v1/openapi.yaml`, whose text is made of the same table.
    ///
    /// # Errors
    /// When there is a mistake in the table.
    pub fn new(
        identity: Arc<Identity>,
        audit: Arc<AuditLog>,
        random: Box<dyn Randomness>,
        mut routes: Vec<Route>,
        document: &Document,
        settings: EdgeSettings,
    ) -> Result<Self, RouteError> {
        routes.extend(own::routes(&identity));
        routes.extend(own::openapi(document, &routes)?);
        let routes = Routes::new(routes, identity.permissions())?;
        let by_address = Mutex::new(Throttle::new(settings.rates_by_address));
        let by_principal = Mutex::new(Throttle::new(settings.rates_by_principal));
        Ok(Self { identity, audit, random, routes, settings, by_address, by_principal })
    }

    /// The table.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Judges a request by its head, as it came from `peer`. May derive a password, and writes to the
    /// audit log: not for asynchronous threads.
    ///
    /// # Errors
    /// The answer, when the request is not to be carried out.
    pub fn admit(
        &self,
        head: &Parts,
        peer: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Admitted, Box<Response<Bytes>>> {
        let correlation = random::bytes::<8>(&*self.random).map(hex::encode).unwrap_or_default();
        self.judge(head, peer, now, &correlation)
            .map_err(|problem| Box::new(refused(&problem, &correlation)))
    }

    /// Carries an admitted request out. Its event is on disk when this returns. Not for asynchronous
    /// threads.
    pub fn perform(&self, admitted: Admitted, body: Bytes) -> Response<Bytes> {
        let Admitted { route, mut call, path, correlation, longest_body } = admitted;
        let Some(route) = self.routes.all().get(route) else {
            return refused(&Problem::internal("a route is gone"), &correlation);
        };
        call.body = body;
        let outcome = match (call.body.len() > longest_body, self.audit.ready()) {
            (true, _) => Err(too_large()),
            (_, Err(e)) if route.event.is_some() => Err(Problem::internal(&e.to_string())),
            _ => (route.handler)(&call),
        };
        if let Some(event) = route.event {
            let failure = outcome.as_ref().err();
            if let Err(problem) = self.record(event, &call, &path, failure)
                && outcome.is_ok()
            {
                return refused(&problem, &correlation);
            }
        }
        match outcome {
            Ok(answer) => answered(answer, &correlation),
            Err(problem) => refused(&problem, &correlation),
        }
    }

    /// An answer to a request whose body did not come as it should.
    pub fn refuse_body(&self, admitted: &Admitted, too_long: bool) -> Response<Bytes> {
        let problem = if too_long {
            too_large()
        } else {
            Problem::bare(StatusCode::REQUEST_TIMEOUT, "the body did not come")
        };
        if let Some(event) = self.routes.all().get(admitted.route).and_then(|route| route.event) {
            // It is refused in any case.
            let _ = self.record(event, &admitted.call, &admitted.path, Some(&problem));
        }
        refused(&problem, &admitted.correlation)
    }

    fn judge(
        &self,
        head: &Parts,
        peer: IpAddr,
        now: OffsetDateTime,
        correlation: &str,
    ) -> Result<Admitted, Problem> {
        let address = peer.to_canonical();
        let micros = i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX);
        take(&self.by_address, network(address), micros)?;
        let host = host(head)?;
        self.check_host(host)?;
        let path = head.uri.path();
        let shown = presented(&head.headers)
            .map_err(|what| Problem::bare(StatusCode::BAD_REQUEST, what))?;
        let session = match &shown {
            Presented::Session { cookie, .. } => Some(cookie.clone()),
            _ => None,
        };
        let found = self.routes.find(&head.method, path);
        let (access, event, extends) = match &found {
            Found::Route(route, _) => (route.access, route.event, route.extends_session),
            _ => (Access::SignedIn, None, false),
        };
        if !matches!(head.method, Method::GET | Method::HEAD) {
            check_origin(&head.headers, host)?;
        }
        let seconds = now.unix_timestamp();
        let principal = match access {
            Access::Open => None,
            _ => match self.authenticate(&shown, access, address, seconds, extends) {
                Ok(principal) => Some(principal),
                Err(refusal) => {
                    let Refusal { problem, event, user } = *refusal;
                    let call = self.call(None, address, now);
                    if let Some(user) = user {
                        call.note_user(&user);
                    }
                    // It is refused in any case.
                    let _ = self.record(event, &call, path, Some(&problem));
                    return Err(problem);
                }
            },
        };
        if let Some(principal) = &principal {
            take(&self.by_principal, principal.name.clone(), micros)?;
            if let (Access::KeyManagement(_), Scheme::Basic) = (access, principal.scheme) {
                let call = self.call(Some(principal.clone()), address, now);
                self.record(event::KEY_MANAGEMENT_LOGIN, &call, path, None)?;
            }
        }
        let (route, parameters) = match found {
            Found::Route(route, parameters) => (route, parameters),
            Found::OtherMethods(methods) => {
                let problem = Problem::bare(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
                return Err(Problem { metadata: methods, ..problem });
            }
            Found::Nothing => return Err(Problem::bare(StatusCode::NOT_FOUND, "no such path")),
            Found::BadPath => return Err(Problem::bare(StatusCode::BAD_REQUEST, "a bad path")),
        };
        if let Access::Permission(wanted) | Access::KeyManagement(wanted) = route.access {
            let roles = principal.as_ref().map(|p| &p.roles);
            if !roles.is_some_and(|roles| self.identity.permissions().allow(roles, wanted)) {
                let problem = Problem::bare(StatusCode::FORBIDDEN, format!("without {wanted}"));
                let call = self.call(principal, address, now);
                let event = event.unwrap_or(event::ACCESS_CHECK);
                // It is refused in any case.
                let _ = self.record(event, &call, path, Some(&problem));
                return Err(problem);
            }
        }
        let longest_body = match route.accepts {
            Accepts::Multipart(_) => self.settings.longest_upload,
            _ => self.settings.longest_body,
        };
        check_body(&head.headers, route.accepts, longest_body)?;
        let query = match head.uri.query() {
            None => Vec::new(),
            Some(query) => form::read_pairs(query)
                .ok_or_else(|| Problem::bare(StatusCode::BAD_REQUEST, "a bad query"))?,
        };
        let place = self.routes.all().iter().position(|known| std::ptr::eq(known, route));
        let mut call = self.call(principal, address, now);
        (call.parameters, call.query, call.session) = (parameters, query, session);
        let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        call.media_type = media_type.map(str::to_owned);
        Ok(Admitted {
            route: place.unwrap_or(usize::MAX),
            call,
            path: path.to_owned(),
            correlation: correlation.to_owned(),
            longest_body,
        })
    }

    fn call(&self, principal: Option<Principal>, address: IpAddr, now: OffsetDateTime) -> Call {
        Call {
            principal,
            address,
            now,
            permissions: self.identity.permissions(),
            parameters: Vec::new(),
            query: Vec::new(),
            body: Bytes::new(),
            session: None,
            media_type: None,
            notes: Mutex::new(Notes::default()),
        }
    }

    fn check_host(&self, host: &str) -> Result<(), Problem> {
        let allowed = &self.settings.allowed_hosts;
        let name = without_port(host);
        if allowed.is_empty() || allowed.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        Err(Problem::bare(StatusCode::BAD_REQUEST, "addressed by a name that is not allowed"))
    }

    fn authenticate(
        &self,
        shown: &Presented,
        access: Access,
        address: IpAddr,
        now: i64,
        extends: bool,
    ) -> Result<Principal, Box<Refusal>> {
        let keys = matches!(access, Access::KeyManagement(_));
        let refuse = |status, reason: &str, event| {
            Err(Box::new(Refusal { problem: Problem::bare(status, reason), event, user: None }))
        };
        match shown {
            Presented::ApiKey(key) if !keys => {
                let event = event::API_KEY_AUTHENTICATION;
                if !self.settings.api_from.contain(address) {
                    return refuse(
                        StatusCode::UNAUTHORIZED,
                        "API keys do not count from here",
                        event,
                    );
                }
                let found = self.identity.by_api_key(key);
                found.map_or_else(|| refuse(StatusCode::UNAUTHORIZED, "no such API key", event), Ok)
            }
            Presented::Basic { user, password } if keys => {
                let event = event::KEY_MANAGEMENT_LOGIN;
                let refusal =
                    |problem| Box::new(Refusal { problem, event, user: Some(user.clone()) });
                if !self.settings.key_management_from.contain(address) {
                    let reason = "passwords for work on API keys do not count from here";
                    return Err(refusal(Problem::bare(StatusCode::UNAUTHORIZED, reason)));
                }
                let judged = self.identity.by_password(user, password, address, now);
                judged.map_err(|e| refusal(e.into()))
            }
            Presented::Session { cookie, csrf_cookie, csrf_header } => {
                let Some(session) = self.identity.session(cookie, now, extends) else {
                    let event = event::AUTHENTICATION;
                    return refuse(StatusCode::UNAUTHORIZED, "the session has ended", event);
                };
                if !session.csrf_holds(csrf_header.as_deref(), csrf_cookie.as_deref()) {
                    let problem = Problem::bare(StatusCode::FORBIDDEN, "without the page's token");
                    let event = event::ACCESS_CHECK;
                    return Err(Box::new(Refusal { problem, event, user: Some(session.user) }));
                }
                let (name, roles) = (session.user, session.roles);
                Ok(Principal { name, roles, scheme: Scheme::Session })
            }
            _ => refuse(StatusCode::UNAUTHORIZED, "without credentials", event::AUTHENTICATION),
        }
    }

    fn record(
        &self,
        event: &str,
        call: &Call,
        path: &str,
        failure: Option<&Problem>,
    ) -> Result<(), Problem> {
        let notes = call.notes();
        let principal = call.principal.as_ref();
        let entry = Entry {
            event,
            user: notes.user.as_deref().or(principal.map(|p| p.name.as_str())),
            address: Some(call.address),
            failure: failure.map(|problem| &*problem.reason),
            warning: failure.is_some_and(|problem| !problem.warnings.is_empty()),
            auth: principal.map(|p| p.scheme.name()),
            url: Some(path),
            data: &notes.data,
        };
        self.audit.record(&entry, call.now).map(drop).map_err(|e| Problem::internal(&e.to_string()))
    }
}

/// Why somebody is not taken for who they say, and what the audit log says of it.
struct Refusal {
    problem: Problem,
    event: &'static str,
    user: Option<String>,
}

fn take<S: std::hash::Hash + Eq>(
    throttle: &Mutex<Throttle<S>>,
    subject: S,
    now: i64,
) -> Result<(), Problem> {
    let taken = throttle.lock().unwrap_or_else(PoisonError::into_inner).take(subject, now);
    taken.map_err(|seconds| Problem {
        retry_after: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
        ..Problem::bare(StatusCode::TOO_MANY_REQUESTS, "too many requests")
    })
}

/// How the server is addressed. Said once, and nothing that could be read in two ways.
fn host(head: &Parts) -> Result<&str, Problem> {
    let bad = |what: &str| Problem::bare(StatusCode::BAD_REQUEST, what);
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        return Err(bad("two lengths of the body"));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    let (Some(host), None) = (host, hosts.next()) else { return Err(bad("not one host")) };
    match head.uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => Err(bad("two hosts")),
        _ => Ok(host),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A browser tells from whose page a request comes: another's page may change nothing here, signing in
/// included.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let foreign = Problem::bare(StatusCode::FORBIDDEN, "from another's page");
    let own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
        origin.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let another = |site: &HeaderValue| site == "cross-site" || site == "same-site";
    if !headers.get_all(ORIGIN).iter().all(own) || headers.get_all(FETCH_SITE).iter().any(another) {
        return Err(foreign);
    }
    Ok(())
}

fn check_body(headers: &HeaderMap, accepts: Accepts, longest: usize) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > longest as u64) {
        return Err(too_large());
    }
    let wanted = match accepts {
        Accepts::Nothing => return Ok(()),
        Accepts::Json(_) => "application/json",
        Accepts::Form(_) => "application/x-www-form-urlencoded",
        Accepts::Multipart(_) => "multipart/form-data",
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let media_type = types.next().and_then(|value| value.to_str().ok()?.split(';').next());
    let fits = media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(wanted));
    if !fits || types.next().is_some() {
        let reason = format!("the body is not {wanted}");
        return Err(Problem::bare(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

fn too_large() -> Problem {
    Problem::bare(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
}

fn answered(answer: Answer, correlation: &str) -> Response<Bytes> {
    let (media_type, name, bytes) = match answer.body {
        Body::Empty => (None, None, Bytes::new()),
        Body::Json(bytes) => (Some("application/json"), None, bytes),
        Body::File { media_type, name, bytes } => (Some(media_type), name, bytes),
    };
    let mut response = Response::new(bytes);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if let Some(name) = name {
        let safe = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let name: String = name.chars().filter(safe).collect();
        put(headers, CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    }
    for cookie in &answer.cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            headers.append(SET_COOKIE, value);
        }
    }
    secured(response, correlation)
}

fn refused(problem: &Problem, correlation: &str) -> Response<Bytes> {
    let mut response;
    if problem.status == StatusCode::METHOD_NOT_ALLOWED {
        response = Response::new(Problem::bare(problem.status, "").body());
        put(response.headers_mut(), ALLOW, &problem.metadata.join(", "));
    } else {
        response = Response::new(problem.body());
    }
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    secured(response, correlation)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Headers of every answer: browsers take it for what it says, keep nothing, and frame nothing.
fn secured(mut response: Response<Bytes>, correlation: &str) -> Response<Bytes> {
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate"),
    );
    for (name, value) in [
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    put(headers, HeaderName::from_static("x-road-ui-correlation-id"), correlation);
    response
}

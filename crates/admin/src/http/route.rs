use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use http::Method;

use super::{Answer, Call, Problem, form};
use crate::identity::Permissions;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without telling who they are.
    Open,
    /// Whoever is signed in or has an API key.
    SignedIn,
    /// Whoever has the permission.
    Permission(&'static str),
    /// Whoever has the permission, with user name and password from a network for work on keys, or in a
    /// session. API keys do not count here: a key must not make keys.
    KeyManagement(&'static str),
}

/// What body a route takes. The name is that of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// None; one that comes is passed over.
    Nothing,
    /// `application/json`.
    Json(&'static str),
    /// `application/x-www-form-urlencoded`.
    Form(&'static str),
    /// `multipart/form-data`, longer than others may be.
    Multipart(&'static str),
}

/// A parameter of the query, for the OpenAPI text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
}

/// What carries a request out.
pub type Handler = Arc<dyn Fn(&Call) -> Result<Answer, Problem> + Send + Sync>;

/// One operation: what is dispatched, and what the OpenAPI text says of it.
#[derive(Clone)]
pub struct Route {
    /// The method. `GET` routes answer `HEAD` too.
    pub method: Method,
    /// The path with its parameters, e.g. `/api/v1/members/{member_id}`.
    pub path: &'static str,
    /// The operation's name.
    pub operation: &'static str,
    /// Who may use it.
    pub access: Access,
    /// The group in the OpenAPI text.
    pub tag: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What body it takes.
    pub accepts: Accepts,
    /// The status of success.
    pub status: u16,
    /// The schema of the answer; `[]` before the name for a list of it, `None` for an empty answer or a
    /// file.
    pub answers: Option<&'static str>,
    /// Its event in the audit log; `None` for what changes nothing.
    pub event: Option<&'static str>,
    /// The parameters of its query.
    pub query: &'static [Parameter],
    /// Whether it changes nothing although its method is not `GET`: such a route needs no event.
    pub reads: bool,
    /// Whether a request is a sign of life of its session.
    pub extends_session: bool,
    /// What carries it out.
    pub handler: Handler,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// A route that takes and answers nothing, with status 200.
    pub fn new(
        method: Method,
        path: &'static str,
        operation: &'static str,
        access: Access,
        handler: impl Fn(&Call) -> Result<Answer, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self {
            method,
            path,
            operation,
            access,
            tag: "admin",
            summary: "",
            accepts: Accepts::Nothing,
            status: 200,
            answers: None,
            event: None,
            query: &[],
            reads: false,
            extends_session: true,
            handler: Arc::new(handler),
        }
    }

    /// Says where it stands in the OpenAPI text, and what it does.
    #[must_use]
    pub fn described(mut self, tag: &'static str, summary: &'static str) -> Self {
        (self.tag, self.summary) = (tag, summary);
        self
    }

    /// Takes a body.
    #[must_use]
    pub fn accepts(mut self, accepts: Accepts) -> Self {
        self.accepts = accepts;
        self
    }

    /// Answers with a status, and JSON of a schema.
    #[must_use]
    pub fn answers(mut self, status: u16, schema: Option<&'static str>) -> Self {
        (self.status, self.answers) = (status, schema);
        self
    }

    /// Has an event in the audit log.
    #[must_use]
    pub fn event(mut self, event: &'static str) -> Self {
        self.event = Some(event);
        self
    }

    /// Changes nothing, although its method is not `GET`.
    #[must_use]
    pub fn reading(mut self) -> Self {
        self.reads = true;
        self
    }

    /// Takes parameters in its query.
    #[must_use]
    pub fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// The names in its path, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(name_of)
    }
}

fn name_of(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// A mistake in a table of routes: the program's, found at its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route {route}: {what}")]
pub struct RouteError {
    /// Which.
    pub route: String,
    /// What is wrong.
    pub what: String,
}

/// What a path and method lead to.
#[derive(Debug)]
pub(super) enum Found<'r> {
    Route(&'r Route, Vec<(&'static str, String)>),
    /// The path is known, but not with this method; with these it is.
    OtherMethods(Vec<String>),
    Nothing,
    /// A part of the path cannot be decoded, or has what no identifier may have.
    BadPath,
}

/// The table of routes.
#[derive(Debug, Clone)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Takes a table, if there is no mistake in it.
    ///
    /// # Errors
    /// When two routes lead the same way, or one asks for a permission that the server does not know.
    pub fn new(routes: Vec<Route>, permissions: Permissions) -> Result<Self, RouteError> {
        let mut ways = BTreeSet::new();
        let mut operations = BTreeSet::new();
        for route in &routes {
            let mistake = |what: String| RouteError { route: format!("{route:?}"), what };
            let way: Vec<&str> = route
                .path
                .split('/')
                .map(|s| if name_of(s).is_some() { "{}" } else { s })
                .collect();
            if !route.path.starts_with('/') || !ways.insert((route.method.to_string(), way)) {
                return Err(mistake("leads where another one leads".into()));
            }
            if !operations.insert(route.operation) {
                return Err(mistake(format!("another one is named {}", route.operation)));
            }
            if let Access::Permission(permission) | Access::KeyManagement(permission) = route.access
                && !permissions.knows(permission)
            {
                return Err(mistake(format!("nobody has the permission {permission}")));
            }
            let reads = route.reads || route.method == Method::GET;
            if !reads && route.event.is_none() {
                return Err(mistake("changes something and has no event".into()));
            }
        }
        Ok(Self(routes))
    }

    /// All of them.
    pub fn all(&self) -> &[Route] {
        &self.0
    }

    /// Finds where a path leads; parts that stand in a template as they are go before parameters.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let parts: Vec<&str> = path.split('/').collect();
        let matching = self.0.iter().filter(|route| fits(route.path, &parts));
        let mut candidates: Vec<&Route> = matching.collect();
        let best = candidates.iter().map(|route| route.parameters().count()).min();
        candidates.retain(|route| Some(route.parameters().count()) == best);
        if candidates.is_empty() {
            return Found::Nothing;
        }
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(route) = candidates.iter().find(|route| route.method == *wanted) else {
            return Found::OtherMethods(candidates.iter().map(|r| r.method.to_string()).collect());
        };
        let named = route.path.split('/').zip(&parts);
        let named = named.filter_map(|(template, part)| Some((name_of(template)?, *part)));
        let values = named.map(|(name, part)| Some((name, decoded(part)?)));
        match values.collect::<Option<Vec<_>>>() {
            Some(parameters) => Found::Route(route, parameters),
            None => Found::BadPath,
        }
    }
}

fn fits(template: &str, parts: &[&str]) -> bool {
    let mut templates = template.split('/');
    let all = parts.iter().all(|part| {
        templates.next().is_some_and(|t| t == *part || name_of(t).is_some() && !part.is_empty())
    });
    all && templates.next().is_none()
}

/// A part of a path. What could be read as another path behind it is refused, as X-Road does.
fn decoded(part: &str) -> Option<String> {
    let text = form::decode(part, false)?;
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ';' | '%');
    (!text.contains(bad) && text != "." && text != "..").then_some(text)
}

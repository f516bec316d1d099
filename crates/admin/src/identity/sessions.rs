//! Sessions: who has signed in, for how long that counts, and the token that shows that a request comes
//! from our own pages.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{IdentityError, Role};
use crate::random::{self, Randomness};

/// Bytes of randomness in the value of a session's cookie and of its token.
const LENGTH: usize = 32;

/// How long sessions last, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Seconds without a request after which a session ends; the default is 1800, as X-Road's.
    pub idle: i64,
    /// Seconds after which a session ends in any case; the default is 43200, twelve hours.
    pub longest: i64,
    /// Sessions of one user at a time; one more ends the one least used. The default is 16.
    pub per_user: usize,
    /// Sessions at a time; the default is 1000.
    pub most: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle: 1800, longest: 43_200, per_user: 16, most: 1000 }
    }
}

/// A session that has just begun: what the browser is to keep.
pub struct NewSession {
    /// The value of the session's cookie. It is shown here alone: the server keeps its hash.
    pub cookie: Zeroizing<String>,
    /// The value of the cookie `XSRF-TOKEN`, which our pages send back in `X-XSRF-TOKEN`.
    pub csrf: Zeroizing<String>,
}

impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSession(…)")
    }
}

/// A living session.
#[derive(Clone)]
pub struct SessionView {
    /// Whose it is.
    pub user: String,
    /// Their roles when they signed in.
    pub roles: BTreeSet<Role>,
    csrf: Zeroizing<String>,
}

impl SessionView {
    /// Whether a request comes from our own pages: its header and its cookie both have the session's
    /// token (X-Road asks for both). Compared in constant time.
    pub fn csrf_holds(&self, header: Option<&str>, cookie: Option<&str>) -> bool {
        let is = |value: Option<&str>| {
            value.is_some_and(|value| bool::from(value.as_bytes().ct_eq(self.csrf.as_bytes())))
        };
        is(header) & is(cookie)
    }
}

impl std::fmt::Debug for SessionView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionView({})", self.user)
    }
}

#[derive(Debug)]
struct Session {
    view: SessionView,
    begun: i64,
    used: i64,
}

/// All sessions. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct Sessions {
    limits: SessionLimits,
    /// By the hash of the cookie's value: what leaks from here opens nothing, and how long a look-up
    /// takes tells nothing of a value.
    living: HashMap<[u8; 32], Session>,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(limits: SessionLimits) -> Self {
        Self { limits, living: HashMap::new() }
    }

    /// Begins a session for a user who has proved who they are. Its values are always fresh, whatever the
    /// browser brought, so that nobody can make another use a session that they know.
    ///
    /// # Errors
    /// Without randomness.
    pub fn begin(
        &mut self,
        user: &str,
        roles: BTreeSet<Role>,
        now: i64,
        random: &dyn Randomness,
    ) -> Result<NewSession, IdentityError> {
        let fresh = || -> Result<Zeroizing<String>, IdentityError> {
            let bytes = Zeroizing::new(random::bytes::<LENGTH>(random)?);
            Ok(Zeroizing::new(BASE64.encode(*bytes)))
        };
        let new = NewSession { cookie: fresh()?, csrf: fresh()? };
        self.living.retain(|_, session| lives(&self.limits, session, now));
        let of_user = self.living.values().filter(|s| s.view.user == user).count();
        if of_user >= self.limits.per_user {
            self.end_least_used(|session| session.view.user == user);
        }
        if self.living.len() >= self.limits.most {
            self.end_least_used(|_| true);
        }
        let view = SessionView { user: user.to_owned(), roles, csrf: new.csrf.clone() };
        self.living.insert(hash(&new.cookie), Session { view, begun: now, used: now });
        Ok(new)
    }

    /// The session of a cookie's value, if it lives. `extends` tells whether this request is a sign of
    /// life: a page that asks by itself whether the session lives must not keep it alive.
    pub fn find(&mut self, cookie: &str, now: i64, extends: bool) -> Option<SessionView> {
        let hash = hash(cookie);
        let session = self.living.get_mut(&hash)?;
        if !lives(&self.limits, session, now) {
            self.living.remove(&hash);
            return None;
        }
        if extends {
            session.used = now;
        }
        Some(session.view.clone())
    }

    /// Ends the session of a cookie's value, if there is one.
    pub fn end(&mut self, cookie: &str) {
        self.living.remove(&hash(cookie));
    }

    /// Ends all sessions of a user.
    pub fn end_all_of(&mut self, user: &str) {
        self.living.retain(|_, session| session.view.user != user);
    }

    fn end_least_used(&mut self, which: impl Fn(&Session) -> bool) {
        let candidates = self.living.iter().filter(|(_, session)| which(session));
        let least = candidates.min_by_key(|(_, session)| session.used).map(|(hash, _)| *hash);
        if let Some(hash) = least {
            self.living.remove(&hash);
        }
    }
}

fn lives(limits: &SessionLimits, session: &Session, now: i64) -> bool {
    // A clock that is set back must not lengthen a life: what lies in the future has ended.
    let within = |since: i64, limit: i64| (0..limit).contains(&now.saturating_sub(since));
    within(session.used, limits.idle) && within(session.begun, limits.longest)
}

fn hash(cookie: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, cookie.as_bytes()).as_ref());
    out
}

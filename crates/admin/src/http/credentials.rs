//! What a request shows of who sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName};
use zeroize::Zeroizing;

/// The cookie of the session. By its prefix browsers take it from this very host over TLS alone.
pub const SESSION_COOKIE: &str = "__Host-session";
pub(super) const CSRF_COOKIE: &str = "XSRF-TOKEN";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-xsrf-token");
const API_KEY: &str = "x-road-apikey token=";
const BASIC: &str = "basic ";
/// The longest credentials, in bytes.
const LONGEST: usize = 1024;

/// What a request shows. Where `Authorization` stands, cookies are passed over: a browser sends these by
/// itself, that one it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presented {
    /// Nothing that is known here.
    Nothing,
    /// `Authorization: X-Road-ApiKey token=…`; the words in any case, the key without space around it.
    ApiKey(Zeroizing<String>),
    /// `Authorization: Basic …`.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A session's cookie, with the page's token where it was sent.
    Session {
        /// The value of the session's cookie.
        cookie: String,
        /// The value of the cookie `XSRF-TOKEN`.
        csrf_cookie: Option<String>,
        /// The value of the header `X-XSRF-TOKEN`.
        csrf_header: Option<String>,
    },
}

/// Reads what a request shows.
///
/// # Errors
/// When something stands there twice, so that two readers could see two senders: what it is.
pub fn presented(headers: &HeaderMap) -> Result<Presented, &'static str> {
    if let Some(value) = single(headers, &AUTHORIZATION).map_err(|()| "Authorization twice")? {
        return Ok(authorization(value));
    }
    let session = cookie(headers, SESSION_COOKIE).map_err(|()| "two session cookies")?;
    let Some(cookie_value) = session else { return Ok(Presented::Nothing) };
    Ok(Presented::Session {
        cookie: cookie_value,
        csrf_cookie: cookie(headers, CSRF_COOKIE).map_err(|()| "two XSRF-TOKEN cookies")?,
        csrf_header: single(headers, &CSRF_HEADER)
            .map_err(|()| "X-XSRF-TOKEN twice")?
            .map(str::to_owned),
    })
}

fn authorization(value: &str) -> Presented {
    if let Some(key) = after(value, API_KEY) {
        return match key.trim() {
            "" => Presented::Nothing,
            key => Presented::ApiKey(Zeroizing::new(key.to_owned())),
        };
    }
    let basic = after(value, BASIC).and_then(|encoded| {
        let decoded = Zeroizing::new(BASE64.decode(encoded.trim()).ok()?);
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Presented::Basic {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })
    });
    basic.unwrap_or(Presented::Nothing)
}

fn after<'v>(value: &'v str, prefix: &str) -> Option<&'v str> {
    let head = value.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &value[prefix.len()..])
}

/// The one value of a header; one that is not ASCII or too long counts as empty.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    Ok(first.map(|v| v.to_str().ok().filter(|v| v.len() <= LONGEST).unwrap_or_default()))
}

/// The one value of a cookie.
fn cookie(headers: &HeaderMap, name: &str) -> Result<Option<String>, ()> {
    let mut found = None;
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    for pair in lines.flat_map(|line| line.split(';')) {
        if let Some((known, value)) = pair.trim().split_once('=')
            && known == name
        {
            if found.is_some() {
                return Err(());
            }
            found = Some(value.trim_matches('"').chars().take(LONGEST).collect());
        }
    }
    Ok(found)
}

/// `Set-Cookie` for a session that begins.
pub(super) fn begin_cookies(session: &str, csrf: &str) -> Vec<String> {
    vec![
        format!("{SESSION_COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Strict"),
        format!("{CSRF_COOKIE}={csrf}; Path=/; Secure; SameSite=Strict"),
    ]
}

/// `Set-Cookie` for a session that has ended.
pub(super) fn end_cookies() -> Vec<String> {
    vec![
        format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"),
        format!("{CSRF_COOKIE}=; Path=/; Max-Age=0; Secure; SameSite=Strict"),
    ]
}

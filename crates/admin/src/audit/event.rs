//! The events that both servers have, by X-Road's names. Each server adds those of its trade.

/// Somebody signed in at the pages.
pub const FORM_LOGIN: &str = "Log in user";
/// Somebody signed out.
pub const FORM_LOGOUT: &str = "Log out user";
/// Somebody gave user name and password to work on API keys.
pub const KEY_MANAGEMENT_LOGIN: &str = "Key management API log in";
/// An API key was given that is none, or from where it does not count.
pub const API_KEY_AUTHENTICATION: &str = "API key authentication";
/// A request came without anything that tells who sends it, or with what is no longer good.
pub const AUTHENTICATION: &str = "Authentication";
/// A request was refused for want of a permission, or of the page's token.
pub const ACCESS_CHECK: &str = "Access check";
/// An API key was made.
pub const API_KEY_CREATE: &str = "API key create";
/// An API key got other roles.
pub const API_KEY_UPDATE: &str = "API key update";
/// An API key was revoked.
pub const API_KEY_REMOVE: &str = "API key remove";
/// A line that a crash left unfinished was cut off. Not an event of X-Road.
pub const LOG_RECOVERED: &str = "Audit log recovered";
/// The log goes on in a new file. Not an event of X-Road.
pub const LOG_CONTINUED: &str = "Audit log continued";

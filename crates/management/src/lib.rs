//! Management requests: how a security server tells the registry of its instance what is to change
//! there (X-Road `pr-mserv`; X-Road 7.8 `common-management-request`).
//!
//! A request is a SOAP message whose body element is named as the service: [`Request`] has the eleven
//! kinds. Two of them travel as SOAP alone, the others as `multipart/related` with signatures,
//! certificates and an OCSP response behind the SOAP part ([`Evidence`]). [`soap`], [`signed`] and [`registration`] make them,
//! [`Message::read`] reads them, [`judge()`] decides whether the registry may act on one, and
//! [`response`] and [`request_id`] are the two ends of the answer.
//!
//! Everything here is a function of bytes and values: time and the global configuration are
//! parameters, and what a stranger sends is bounded before it is looked at.

mod address;
mod answer;
mod body;
mod envelope;
mod judge;
mod message;
mod request;
mod sign;

pub use address::is_host;
pub use answer::{request_id, response};
pub use judge::judge;
pub use message::{Evidence, MAX_MESSAGE, Message, Signature};
pub use request::{Kind, Request};
pub use sign::{Multipart, Signatory, registration, signed, soap};

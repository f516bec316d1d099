use super::{TimestampRequest, TimestampToken, TspError};
use crate::PkiError;
use crate::asn1::{Reader, definite, tag};

/// Largest answer or token that is read, bytes.
pub const MAX_RESPONSE: usize = 256 * 1024;

/// Most status texts that are read.
const MAX_TEXTS: usize = 16;

/// A timestamping authority's answer (TimeStampResp, RFC 3161 2.4.2).
#[derive(Debug, Clone)]
pub struct TimestampResponse {
    status: u8,
    texts: Vec<String>,
    token: Option<TimestampToken>,
}

impl TimestampResponse {
    /// Reads an answer of at most 256 KiB, DER or BER.
    ///
    /// # Errors
    /// [`TspError::MalformedResponse`], or [`TspError::MalformedToken`] when only the token is at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, TspError> {
        if bytes.len() > MAX_RESPONSE {
            let what = "timestamp response, bytes";
            return Err(TspError::MalformedResponse(PkiError::TooLarge {
                what,
                limit: MAX_RESPONSE,
            }));
        }
        match Self::read(bytes) {
            Err(TspError::MalformedResponse(error)) => {
                match definite(bytes, "timestamp response") {
                    Ok(der) if der != bytes => Self::read(&der),
                    _ => Err(TspError::MalformedResponse(error)),
                }
            }
            other => other,
        }
    }

    fn read(der: &[u8]) -> Result<Self, TspError> {
        let (status, texts, token) = read_parts(der).map_err(TspError::MalformedResponse)?;
        let token = token.map(TimestampToken::parse).transpose()?;
        Ok(Self { status, texts, token })
    }

    /// PKIStatus: 0 granted, 1 granted with modifications, 2 rejection, …
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Whether the token was granted, with or without modifications.
    pub fn is_granted(&self) -> bool {
        self.status <= 1
    }

    /// The authority's words.
    pub fn status_texts(&self) -> &[String] {
        &self.texts
    }

    /// The token, if there is one.
    pub fn token(&self) -> Option<&TimestampToken> {
        self.token.as_ref()
    }
}

type Parts<'a> = (u8, Vec<String>, Option<&'a [u8]>);

fn read_parts(der: &[u8]) -> Result<Parts<'_>, PkiError> {
    let what = "timestamp response";
    let mut outer = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
    let mut info = outer.sequence()?;
    let status = match info.integer()? {
        [status @ 0..=5] => *status,
        _ => return Err(PkiError::malformed(what, "unknown status")),
    };
    let mut texts = Vec::new();
    if info.peek() == Some(tag::SEQUENCE) {
        let mut list = info.sequence()?;
        while !list.is_empty() && texts.len() < MAX_TEXTS {
            texts.push(String::from_utf8_lossy(list.next()?.value).into_owned());
        }
    }
    info.optional(tag::BIT_STRING)?;
    info.finish()?;
    let token = outer.optional(tag::SEQUENCE)?.map(|token| token.raw);
    outer.finish()?;
    Ok((status, texts, token))
}

/// Checks an answer against its request: granted, same imprint, same nonce if one was sent, same policy
/// if one was asked for. The token's signature is for [`TimestampToken::verify`].
///
/// # Errors
/// [`TspError::NotGranted`] or [`TspError::ResponseMismatch`].
pub fn check_response<'a>(
    request: &TimestampRequest,
    response: &'a TimestampResponse,
) -> Result<&'a TimestampToken, TspError> {
    if !response.is_granted() {
        let text = response.texts.join(", ");
        return Err(TspError::NotGranted { status: response.status, text });
    }
    let token = response.token().ok_or(TspError::ResponseMismatch("no token"))?;
    if token.imprint() != (request.algorithm(), request.imprint()) {
        return Err(TspError::ResponseMismatch("message imprint differs"));
    }
    if request.nonce().is_some() && token.nonce() != request.nonce() {
        return Err(TspError::ResponseMismatch("nonce differs"));
    }
    if request.policy().is_some_and(|policy| policy != token.policy()) {
        return Err(TspError::ResponseMismatch("policy differs"));
    }
    Ok(token)
}

//! One exchange with one timestamping authority (RFC 3161 over HTTP).

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_pki::DigestAlgorithm;
use causeway_pki::tsp::{
    MAX_RESPONSE, TimestampRequest, TimestampResponse, TspError, check_response,
};
use time::{Duration, OffsetDateTime};

use crate::outgoing::{Outgoing, OutgoingError};

/// The digest with which the stamped data is named to the authority.
const ALGORITHM: DigestAlgorithm = DigestAlgorithm::Sha512;
const QUERY: &str = "application/timestamp-query";
/// How far an authority's clock may be from this one before the operator is told.
const CLOCK_DIFFERENCE: Duration = Duration::minutes(5);

/// Why an authority gave no token that counts.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("HTTP status {0}")]
    Status(u16),
    #[error(transparent)]
    Tsp(#[from] TspError),
}

impl AuthorityError {
    /// The code of the protocol.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Outgoing(_) => "network_error",
            Self::Status(_) => "mlog.timestamping_non_ok_response",
            Self::Tsp(e) => e.code(),
        }
    }
}

/// Has an authority stamp this data. The token is genuine, and has the authority's certificate inside.
pub(super) async fn stamp(
    outgoing: &Outgoing,
    url: &str,
    stamped: &[u8],
    conf: &GlobalConf,
) -> Result<Bytes, AuthorityError> {
    let request = TimestampRequest::new(ALGORITHM, &ALGORITHM.digest(stamped));
    let answer = outgoing.post(url, QUERY, request.to_der(), MAX_RESPONSE).await?;
    if answer.status != http::StatusCode::OK {
        return Err(AuthorityError::Status(answer.status.as_u16()));
    }
    let response = TimestampResponse::parse(&answer.body)?;
    let token = check_response(&request, &response)?;
    let authority = token.verify(stamped, conf.tsa_certificates())?;
    let difference = token.gen_time() - OffsetDateTime::now_utc();
    if difference.abs() > CLOCK_DIFFERENCE {
        // It counts nevertheless; but evidence is judged at the time in it.
        tracing::warn!(
            url,
            seconds = difference.whole_seconds(),
            "the timestamping authority's clock differs from this server's"
        );
    }
    Ok(Bytes::from(token.with_signer_certificate(&authority)))
}

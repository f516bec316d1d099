//! Fetching a description from its provider, or reading it from a file.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_message::Fault;
use causeway_metadata::MAX_DESCRIPTION_BYTES;
use causeway_pki::Certificate;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::Location;
use crate::service_call::ServiceCaller;

/// A document as its provider publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The document.
    pub bytes: Bytes,
    /// Its content type, in ASCII; none for a file.
    pub content_type: Option<String>,
}

/// Why a description could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file cannot be read.
    #[error("'{}' cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The provider cannot be reached.
    #[error("{0}")]
    Unreachable(Fault),
    /// The provider answered with a status that means failure; redirects are not followed.
    #[error("{url} answers with HTTP status {status}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The answer broke off.
    #[error("{url}: the answer breaks off: {text}")]
    BrokenOff {
        /// The address.
        url: String,
        /// Why.
        text: String,
    },
    /// It took too long.
    #[error("{url} did not give the description within {} s", limit.as_secs())]
    TimedOut {
        /// The address.
        url: String,
        /// How long it had.
        limit: Duration,
    },
    /// Longer than a description may be.
    #[error("{0} is longer than {most} MiB", most = MAX_DESCRIPTION_BYTES >> 20)]
    TooLong(Location),
}

/// Gets a description. Over HTTPS the provider shows one of `certificates`, where those are told.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(
    location: &Location,
    caller: &ServiceCaller,
    certificates: Option<&[Certificate]>,
    limit: Duration,
) -> Result<Fetched, FetchError> {
    match location {
        Location::File(path) => {
            let at = |source| FetchError::File { path: path.clone(), source };
            let file = std::fs::File::open(path).map_err(at)?;
            let mut bytes = Vec::new();
            file.take(MAX_DESCRIPTION_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(at)?;
            if bytes.len() > MAX_DESCRIPTION_BYTES {
                return Err(FetchError::TooLong(location.clone()));
            }
            Ok(Fetched { bytes: bytes.into(), content_type: None })
        }
        Location::Url(url) => {
            let url = url.as_str();
            tokio::time::timeout(limit, download(location, url, caller, certificates))
                .await
                .unwrap_or_else(|_| Err(FetchError::TimedOut { url: url.to_owned(), limit }))
        }
    }
}

async fn download(
    location: &Location,
    url: &str,
    caller: &ServiceCaller,
    certificates: Option<&[Certificate]>,
) -> Result<Fetched, FetchError> {
    let answer = caller.get(url, certificates).await.map_err(FetchError::Unreachable)?;
    let (head, mut body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Err(FetchError::Status { url: url.to_owned(), status: head.status });
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|e| FetchError::BrokenOff { url: url.to_owned(), text: e.to_string() })?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > MAX_DESCRIPTION_BYTES {
            return Err(FetchError::TooLong(location.clone()));
        }
        bytes.extend_from_slice(data);
    }
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = content_type.and_then(Result::ok).filter(|text| text.len() <= 255);
    Ok(Fetched { bytes: bytes.freeze(), content_type: content_type.map(str::to_owned) })
}

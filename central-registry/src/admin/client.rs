//! The command line's side of the admin socket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{AdminAnswer, AdminRefusal, Decision, UserEdit, UserListing};
use crate::edit::Edit;
use crate::listing::Listing;
use crate::records::ConfigurationKind;
use crate::requests::{OperatorRequest, Outcome, RequestListing};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why a running registry could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The registry refused.
    #[error("{}", .0.error)]
    Refused(AdminRefusal),
    /// The registry did not answer as it should.
    #[error("the running registry does not answer: {0}")]
    Failed(String),
}

impl AdminError {
    /// What to do next.
    pub fn next_step(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.next,
            Self::Failed(_) => {
                "look at the registry's log, or stop it to work on its store directly"
            }
        }
    }
}

/// Speaks to a running registry; one connection for each request.
#[derive(Debug)]
pub struct AdminClient {
    socket: std::path::PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl AdminClient {
    /// A client of the registry that listens at a socket; `None` when nobody does.
    ///
    /// # Errors
    /// When the socket is there but may not be used.
    pub fn connect(socket: &Path) -> Result<Option<Self>, AdminError> {
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => {}
            Err(e) => match e.kind() {
                // Never made, or left behind by a registry that no longer runs.
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                    return Ok(None);
                }
                _ => return Err(AdminError::Failed(format!("{}: {e}", socket.display()))),
            },
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        Ok(Some(Self { socket: socket.to_owned(), runtime }))
    }

    /// Makes a change.
    ///
    /// # Errors
    /// When the registry refuses it or does not answer.
    pub fn edit(&self, edit: &Edit) -> Result<AdminAnswer, AdminError> {
        let body = serde_json::to_vec(edit).map_err(failed)?;
        self.json(Method::POST, "/edit", body)
    }

    /// All records.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn listing(&self) -> Result<Listing, AdminError> {
        self.json(Method::GET, "/listing", Vec::new())
    }

    /// All management requests, the newest first.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn requests(&self) -> Result<Vec<RequestListing>, AdminError> {
        self.json(Method::GET, "/requests", Vec::new())
    }

    /// Makes a request of the operator.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn ask(&self, request: &OperatorRequest) -> Result<Outcome, AdminError> {
        let body = serde_json::to_vec(request).map_err(failed)?;
        self.json(Method::POST, "/requests", body)
    }

    /// Approves a management request.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn approve(&self, number: u64) -> Result<AdminAnswer, AdminError> {
        let path = format!("/requests/{}/{number}", Decision::Approve.name());
        self.json(Method::POST, &path, Vec::new())
    }

    /// Declines a management request, or takes one of the operator's back.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn refuse(&self, decision: Decision, number: u64) -> Result<Outcome, AdminError> {
        let path = format!("/requests/{}/{number}", decision.name());
        self.json(Method::POST, &path, Vec::new())
    }

    /// Publishes now.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub fn publish(&self) -> Result<AdminAnswer, AdminError> {
        self.json(Method::POST, "/publish", Vec::new())
    }

    /// An anchor file.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn anchor(&self, kind: ConfigurationKind) -> Result<Vec<u8>, AdminError> {
        self.request(Method::GET, &format!("/anchor/{}", kind.name()), Vec::new()).map(Vec::from)
    }

    /// Makes a signing key.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn add_signing_key(&self, kind: ConfigurationKind) -> Result<AdminAnswer, AdminError> {
        self.json(Method::POST, &format!("/signing-keys/add/{}", kind.name()), Vec::new())
    }

    /// Lets a signing key sign.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn activate_signing_key(&self, id: &str) -> Result<AdminAnswer, AdminError> {
        self.json(Method::POST, &format!("/signing-keys/activate/{id}"), Vec::new())
    }

    /// Forgets a signing key.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn remove_signing_key(&self, id: &str) -> Result<AdminAnswer, AdminError> {
        self.json(Method::POST, &format!("/signing-keys/remove/{id}"), Vec::new())
    }

    /// Who may use the API over HTTPS.
    ///
    /// # Errors
    /// When the registry has no admin interface, or does not answer.
    pub fn users(&self) -> Result<Vec<UserListing>, AdminError> {
        self.json(Method::GET, "/users", Vec::new())
    }

    /// Changes who may use the API over HTTPS; gives who there is then.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub fn edit_users(&self, edit: &UserEdit) -> Result<Vec<UserListing>, AdminError> {
        let body = serde_json::to_vec(edit).map_err(failed)?;
        self.json(Method::POST, "/users", body)
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, AdminError> {
        let answer = self.request(method, path, body)?;
        serde_json::from_slice(&answer).map_err(failed)
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, AdminError> {
        self.runtime.block_on(async {
            let exchange = self.exchange(method, path, body);
            match tokio::time::timeout(TIMEOUT, exchange).await {
                Ok(result) => result,
                Err(_) => Err(AdminError::Failed("no answer in two minutes".into())),
            }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, AdminError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(failed)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "registry")
            .body(Full::new(Bytes::from(body)))
            .map_err(failed)?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| AdminError::Failed(e.to_string()))?.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        let refusal = serde_json::from_slice(&body).map_err(failed)?;
        Err(AdminError::Refused(refusal))
    }
}

fn failed(e: impl std::fmt::Display) -> AdminError {
    AdminError::Failed(e.to_string())
}

//! Management requests at a registry: taken, decided, and answered.

use bytes::Bytes;
use causeway_globalconf::{GlobalConf, InstanceConfiguration, Version};
use causeway_management::{Kind, Message, Request, judge, response};
use causeway_message::{Fault, codes};
use time::OffsetDateTime;
use tracing::info;

use super::{Records, Registry, lock};
use crate::parameters;
use crate::records::State;
use crate::requests::{
    self, Approval, Origin, Outcome, RequestError, RequestListing, RequestStatus,
};
use crate::store::Change;

/// Where a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The registration service, open to everybody: registrations of authentication certificates.
    Registration,
    /// The management service, behind the security server of whoever provides it: all other kinds.
    Management,
}

impl Records {
    /// Takes a request in; see [`Registry::submit_request`].
    ///
    /// # Errors
    /// As there.
    pub fn submit_request(
        &mut self,
        request: &Request,
        origin: Origin,
        comments: Option<&str>,
        approval: &Approval,
        now: OffsetDateTime,
    ) -> Result<Outcome, RequestError> {
        let (outcome, changes) =
            requests::submit(&self.state, request, origin, comments, approval, now)?;
        self.commit(changes)?;
        Ok(outcome)
    }

    /// Approves a request.
    ///
    /// # Errors
    /// When it does not wait, or the records forbid what it asks for: nothing has changed then.
    pub fn approve_request(
        &mut self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        self.decide(number, requests::approve(&self.state, number, now)?)
    }

    /// Declines a request. One that the operator alone has made is taken back instead.
    ///
    /// # Errors
    /// When it does not wait.
    pub fn decline_request(
        &mut self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        self.decide(number, requests::decline(&self.state, number, now)?)
    }

    /// Takes a request of the operator back.
    ///
    /// # Errors
    /// When it does not wait, or a security server has made it or asks for the same.
    pub fn revoke_request(
        &mut self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        self.decide(number, requests::revoke(&self.state, number, now)?)
    }

    /// All requests, the newest first.
    pub fn requests(&self) -> Vec<RequestListing> {
        RequestListing::all(&self.state)
    }

    fn decide(&mut self, number: u64, changes: Vec<Change>) -> Result<RequestStatus, RequestError> {
        self.commit(changes)?;
        Ok(self.state.requests.get(&number).map_or(RequestStatus::Waiting, |r| r.status))
    }
}

impl Registry {
    /// Reads, judges and takes a request as a security server has sent it; gives the SOAP answer. A trial
    /// (`dryRun`) is judged, and nothing is kept.
    ///
    /// # Errors
    /// X-Road's fault. Nothing has changed then.
    pub fn take_request(
        &self,
        door: Door,
        content_type: Option<&str>,
        body: Bytes,
        now: OffsetDateTime,
    ) -> Result<Vec<u8>, Fault> {
        let message = Message::read(content_type, body)?;
        let registration = message.request.kind() == Kind::AuthCertReg;
        if registration != (door == Door::Registration) {
            let text = match door {
                Door::Registration => "AuthCertRegRequest is missing".to_owned(),
                Door::Management => {
                    let kind = message.request.kind().service_code();
                    format!("Unsupported request type {kind}")
                }
            };
            return Err(Fault::new(codes::INVALID_REQUEST, text));
        }
        let conf = global_conf(&lock(&self.0.records).state, &self.config().public_addresses)?;
        judge(&message, &conf, now)?;
        if let Request::AuthCertReg { server, dry_run: true, .. } = &message.request {
            info!(%server, "a trial registration was judged, and is good");
            return response(&message, 0);
        }
        let outcome = self
            .submit_request(&message.request, Origin::SecurityServer, None, now)
            .map_err(|refused| {
                let kind = message.request.kind().service_code();
                let server = message.request.server();
                info!(%server, kind, code = refused.code(), why = %refused, "a request was refused");
                refused.to_fault()
            })?;
        info!(
            server = %message.request.server(),
            kind = message.request.kind().service_code(),
            number = outcome.number,
            status = outcome.status.name(),
            "a management request was taken"
        );
        response(&message, outcome.number)
    }

    /// Takes a request in. It is kept with its history, and takes effect at once when its kind, the policy
    /// of the configuration file or its other half says so.
    ///
    /// # Errors
    /// X-Road's codes when the records forbid it: nothing has changed then.
    pub fn submit_request(
        &self,
        request: &Request,
        origin: Origin,
        comments: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<Outcome, RequestError> {
        let approval = self.config().approval;
        let outcome =
            lock(&self.0.records).submit_request(request, origin, comments, &approval, now)?;
        self.notify();
        Ok(outcome)
    }

    /// Approves a request.
    ///
    /// # Errors
    /// As [`Records::approve_request`].
    pub fn approve_request(
        &self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        let status = lock(&self.0.records).approve_request(number, now)?;
        self.notify();
        Ok(status)
    }

    /// Declines a request.
    ///
    /// # Errors
    /// As [`Records::decline_request`].
    pub fn decline_request(
        &self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        lock(&self.0.records).decline_request(number, now)
    }

    /// Takes a request of the operator back.
    ///
    /// # Errors
    /// As [`Records::revoke_request`].
    pub fn revoke_request(
        &self,
        number: u64,
        now: OffsetDateTime,
    ) -> Result<RequestStatus, RequestError> {
        lock(&self.0.records).revoke_request(number, now)
    }

    /// All requests, the newest first.
    pub fn requests(&self) -> Vec<RequestListing> {
        lock(&self.0.records).requests()
    }

    /// Whether this is the certificate by which security servers know the registration service.
    pub(crate) fn names_certificate(&self, der: &[u8]) -> bool {
        let records = lock(&self.0.records);
        let named = records.state.settings.registration_certificate.as_ref();
        named.and_then(|record| record.0.read().ok()).is_some_and(|named| named.der() == der)
    }
}

/// The records as the global configuration that would be published of them now: a request is judged by
/// what the registry knows, not by what it has published.
fn global_conf(state: &State, public_addresses: &[String]) -> Result<GlobalConf, Fault> {
    let mut shared = parameters::shared(state, public_addresses);
    // A judge asks for authorities and policy alone; the rest would be indexed for nothing.
    shared.members.clear();
    shared.security_servers.clear();
    shared.global_groups.clear();
    let mut configuration = InstanceConfiguration::new(shared, Version::V6, None);
    configuration.private = parameters::private(state, public_addresses);
    configuration.next_update = parameters::next_update(state);
    GlobalConf::new(&state.settings.instance, vec![configuration]).map_err(|e| {
        tracing::error!(error = %e, "management requests cannot be judged by these records");
        Fault::new(codes::INTERNAL_ERROR, "The registry cannot judge requests now")
    })
}

use std::sync::Arc;

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::ocsp::{CertId, OcspRequest, ResponderIdForm, ResponseBuilder, error_response};
use causeway_pki::{Certificate, SigningKey};
use time::{Duration, OffsetDateTime};

use crate::{CertificationAuthority, FaultSwitch, Level, Order, Purpose, TrustServicesError};

/// Error statuses of RFC 6960 4.2.1.
const MALFORMED_REQUEST: u8 = 1;
const INTERNAL_ERROR: u8 = 2;
const UNAUTHORIZED: u8 = 6;

struct Speaker {
    level: Level,
    key: Arc<dyn SigningKey>,
    certificate: Certificate,
}

/// An OCSP responder over an authority's register.
pub struct OcspResponder {
    authority: Arc<CertificationAuthority>,
    speakers: Vec<Speaker>,
    next_update: Option<Duration>,
    age: Duration,
    form: ResponderIdForm,
    faults: FaultSwitch,
}

impl OcspResponder {
    /// A responder with a key and certificate of its own (issued by the authority for
    /// [`Purpose::OcspResponder`]), or with the authority's own. It speaks for the issuer of its
    /// certificate; for the other level the authority's own key speaks.
    ///
    /// # Errors
    /// When key and certificate do not belong together, or the certificate is neither issued by the
    /// authority nor its own.
    pub fn new(
        authority: Arc<CertificationAuthority>,
        key: Arc<dyn SigningKey>,
        certificate: Certificate,
    ) -> Result<Self, TrustServicesError> {
        if key.certificate_public_key() != certificate.subject_public_key_info() {
            let why = "the responder's key is not that of its certificate";
            return Err(TrustServicesError::Refused(why.into()));
        }
        let own =
            authority.authorities().find(|(_, issuer)| certificate == **issuer).or_else(|| {
                authority.authorities().find(|(_, issuer)| certificate.is_issued_by(issuer))
            });
        let Some((level, _)) = own else {
            let why = "the responder's certificate is not of this authority";
            return Err(TrustServicesError::Refused(why.into()));
        };
        let mut speakers = vec![Speaker { level, key, certificate }];
        for (other, issuer) in authority.authorities().filter(|(other, _)| *other != level) {
            speakers.push(Speaker {
                level: other,
                key: authority.key(other),
                certificate: issuer.clone(),
            });
        }
        Ok(Self {
            authority,
            speakers,
            next_update: Some(Duration::hours(1)),
            age: Duration::ZERO,
            form: ResponderIdForm::Key,
            faults: FaultSwitch::new(),
        })
    }

    /// A responder with a new P-256 key and a certificate that the authority issues for it.
    ///
    /// # Errors
    /// When the key cannot be made or the certificate not be issued.
    pub fn delegated(
        authority: Arc<CertificationAuthority>,
        common_name: &str,
        now: OffsetDateTime,
    ) -> Result<Self, TrustServicesError> {
        let key = KeyPair::generate(KeyKind::EcP256)?;
        let order = Order::new(Purpose::OcspResponder);
        let certificate =
            authority.issue_to_key(common_name, key.certificate_public_key(), &order, now)?;
        Self::new(authority, Arc::new(key), certificate)
    }

    /// Sets how long after thisUpdate nextUpdate comes; `None` leaves it out. Default: one hour.
    pub fn with_next_update(mut self, after: Option<Duration>) -> Self {
        self.next_update = after;
        self
    }

    /// Backdates all responses by this much: stale ones for tests. Default: none.
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Chooses how the responder names itself. Default: by key.
    pub fn with_responder_id(mut self, form: ResponderIdForm) -> Self {
        self.form = form;
        self
    }

    /// The certificate that responses about members' certificates are signed with.
    pub fn certificate(&self) -> &Certificate {
        let level = self.authority.issuing_level();
        self.speakers
            .iter()
            .find(|speaker| speaker.level == level)
            .map_or_else(|| self.authority.issuer(), |speaker| &speaker.certificate)
    }

    /// Makes the service misbehave.
    pub fn faults(&self) -> &FaultSwitch {
        &self.faults
    }

    /// Answers a DER OCSPRequest with a DER OCSPResponse; what cannot be answered gets an error status.
    pub fn answer(&self, request: &[u8], now: OffsetDateTime) -> Vec<u8> {
        match OcspRequest::parse(request) {
            Ok(request) => self.respond(&request, now),
            Err(error) => {
                tracing::debug!(%error, "OCSP request refused");
                error_response(MALFORMED_REQUEST)
            }
        }
    }

    fn respond(&self, request: &OcspRequest, now: OffsetDateTime) -> Vec<u8> {
        // one signature covers all, so all must be of one issuer
        let levels: Vec<Option<Level>> =
            request.cert_ids().iter().map(|id| self.level_of(id)).collect();
        let speaker = match levels.as_slice() {
            [Some(first), rest @ ..] if rest.iter().all(|level| *level == Some(*first)) => {
                self.speakers.iter().find(|speaker| speaker.level == *first)
            }
            _ => None,
        };
        let Some(speaker) = speaker else {
            return error_response(UNAUTHORIZED);
        };
        let this_update = now - self.age;
        let next_update = self.next_update.map(|after| this_update + after);
        let mut builder = ResponseBuilder::new(now).nonce(request.nonce()).responder_id(self.form);
        for id in request.cert_ids() {
            let status = self.authority.status(speaker.level, &id.serial);
            builder = builder.single(id, status, this_update, next_update);
        }
        builder.sign(&speaker.key, &speaker.certificate).unwrap_or_else(|error| {
            tracing::error!(%error, "OCSP response not signed");
            error_response(INTERNAL_ERROR)
        })
    }

    fn level_of(&self, id: &CertId) -> Option<Level> {
        self.authority
            .authorities()
            .find(|(_, issuer)| CertId::with_algorithm(id.algorithm, &id.serial, issuer) == *id)
            .map(|(level, _)| level)
    }
}

impl std::fmt::Debug for OcspResponder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OcspResponder")
            .field("certificate", self.certificate())
            .finish_non_exhaustive()
    }
}

use std::sync::Arc;

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::tsp::{FailureInfo, ResponseBuilder, TimestampRequest, refusal};
use causeway_pki::{Certificate, DigestAlgorithm, PkiError, SigningKey};
use time::{Duration, OffsetDateTime};

use crate::authority::random_serial;
use crate::{CertificationAuthority, FaultSwitch, Order, Purpose, TrustServicesError};

/// The policy of tokens if none is chosen: an arc for examples.
const DEFAULT_POLICY: &str = "1.3.6.1.4.1.32473.1.1";

/// A timestamping authority.
pub struct TimestampingAuthority {
    key: Arc<dyn SigningKey>,
    certificate: Certificate,
    policy: String,
    clock_offset: Duration,
    faults: FaultSwitch,
}

impl TimestampingAuthority {
    /// An authority with this key and certificate.
    ///
    /// # Errors
    /// When the two do not belong together.
    pub fn new(
        key: Arc<dyn SigningKey>,
        certificate: Certificate,
    ) -> Result<Self, TrustServicesError> {
        if key.certificate_public_key() != certificate.subject_public_key_info() {
            let why = "the timestamping authority's key is not that of its certificate";
            return Err(TrustServicesError::Refused(why.into()));
        }
        Ok(Self {
            key,
            certificate,
            policy: DEFAULT_POLICY.into(),
            clock_offset: Duration::ZERO,
            faults: FaultSwitch::new(),
        })
    }

    /// An authority with a new key of that kind and a certificate that the certification authority issues
    /// for it.
    ///
    /// # Errors
    /// When the key cannot be made or the certificate not be issued.
    pub fn certified(
        authority: &CertificationAuthority,
        common_name: &str,
        kind: KeyKind,
        now: OffsetDateTime,
    ) -> Result<Self, TrustServicesError> {
        let key = KeyPair::generate(kind)?;
        let order = Order::new(Purpose::Timestamping);
        let certificate =
            authority.issue_to_key(common_name, key.certificate_public_key(), &order, now)?;
        Self::new(Arc::new(key), certificate)
    }

    /// Sets the policy (dotted) that tokens are issued under.
    ///
    /// # Errors
    /// When it is not an object identifier.
    pub fn with_policy(mut self, policy: &str) -> Result<Self, TrustServicesError> {
        ResponseBuilder::new(policy, &[1], OffsetDateTime::UNIX_EPOCH)?;
        self.policy = policy.into();
        Ok(self)
    }

    /// Sets the clock wrong by this much, for tests.
    pub fn with_clock_offset(mut self, offset: Duration) -> Self {
        self.clock_offset = offset;
        self
    }

    /// The authority's certificate: what goes into the global configuration.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Makes the service misbehave.
    pub fn faults(&self) -> &FaultSwitch {
        &self.faults
    }

    /// Answers a DER TimeStampReq with a DER TimeStampResp; what cannot be stamped is refused in it.
    /// Imprints of SHA-256, SHA-384 and SHA-512 are stamped.
    pub fn answer(&self, request: &[u8], now: OffsetDateTime) -> Vec<u8> {
        let request = match TimestampRequest::parse(request) {
            Ok(request) => request,
            Err(PkiError::UnsupportedAlgorithm(what)) => {
                return refusal(FailureInfo::BadAlgorithm, &format!("not supported: {what}"));
            }
            Err(error) => return refusal(FailureInfo::BadDataFormat, &error.to_string()),
        };
        if matches!(request.algorithm(), DigestAlgorithm::Sha1 | DigestAlgorithm::Sha224) {
            let text = format!("{} imprints are not stamped", request.algorithm());
            return refusal(FailureInfo::BadAlgorithm, &text);
        }
        if request.policy().is_some_and(|policy| policy != self.policy) {
            return refusal(FailureInfo::UnacceptedPolicy, "policy is not offered");
        }
        self.grant(&request, now).unwrap_or_else(|error| {
            tracing::error!(%error, "timestamp not signed");
            refusal(FailureInfo::SystemFailure, "the token could not be signed")
        })
    }

    fn grant(
        &self,
        request: &TimestampRequest,
        now: OffsetDateTime,
    ) -> Result<Vec<u8>, TrustServicesError> {
        let serial = random_serial()?;
        let builder = ResponseBuilder::new(&self.policy, &serial, now + self.clock_offset)?;
        Ok(builder.accuracy_seconds(1).grant(request, &self.key, &self.certificate)?)
    }
}

impl std::fmt::Debug for TimestampingAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimestampingAuthority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

//! The global configuration as the source of trust.

use causeway_globalconf::{ApprovedCaEntry, GlobalConf};
use causeway_identifiers::{ClientId, MemberId};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{self, OcspError, OcspResponse};
use causeway_pki::profile::CertificateProfile;
use causeway_signature::verify::Trust;
use time::OffsetDateTime;

/// Trusts what the global configuration says.
pub(crate) struct ByConfiguration<'c>(pub(crate) &'c GlobalConf);

impl ByConfiguration<'_> {
    fn entry(&self, ca: &Certificate) -> Option<&ApprovedCaEntry> {
        self.0
            .instances()
            .flat_map(|instance| self.0.approved_cas(instance))
            .find(|entry| entry.certificate == *ca)
    }

    /// The certificate of the responder that signed a response, where it may speak for the authority.
    pub(crate) fn responder(
        &self,
        response: &OcspResponse,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Option<Certificate> {
        let entry = self.entry(issuer)?;
        ocsp::verify_signature(response, certificate, issuer, &self.0.ocsp_trust(entry)).ok()
    }
}

impl Trust for ByConfiguration<'_> {
    fn issuer_of(&self, instance: &str, certificate: &Certificate) -> Option<Certificate> {
        self.0.issuer_of(instance, certificate).map(|entry| entry.certificate.clone())
    }

    fn member_of(
        &self,
        certificate: &Certificate,
        expected: &ClientId,
    ) -> Result<MemberId, String> {
        let entry = self
            .0
            .issuer_of(expected.instance(), certificate)
            .ok_or_else(|| "The certificate's authority is not approved".to_owned())?;
        let profile =
            CertificateProfile::from_class_name(&entry.profile_class).ok_or_else(|| {
                format!(
                    "The certificate profile {} of {} is not known",
                    entry.profile_class, entry.name
                )
            })?;
        profile.member(certificate, expected).map_err(|e| e.to_string())
    }

    fn judge_ocsp(
        &self,
        response: &OcspResponse,
        certificate: &Certificate,
        issuer: &Certificate,
        at: OffsetDateTime,
    ) -> Result<(), OcspError> {
        let entry = self.entry(issuer).ok_or(OcspError::NotAuthorized)?;
        let (trust, policy) = (self.0.ocsp_trust(entry), self.0.ocsp_policy());
        ocsp::judge(response, certificate, issuer, &trust, &policy, at)
    }
}

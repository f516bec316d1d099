//! The global configuration as the place where trust comes from.

use causeway_globalconf::{ApprovedCaEntry, GlobalConf};
use causeway_identifiers::{ClientId, MemberId};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{self, OcspError, OcspResponse, OcspTrust};
use causeway_pki::profile::CertificateProfile;
use time::OffsetDateTime;

use crate::verify::Trust;

impl Trust for GlobalConf {
    fn issuer_of(&self, instance: &str, certificate: &Certificate) -> Option<Certificate> {
        GlobalConf::issuer_of(self, instance, certificate).map(|ca| ca.certificate.clone())
    }

    fn member_of(
        &self,
        certificate: &Certificate,
        expected: &ClientId,
    ) -> Result<MemberId, String> {
        let ca = GlobalConf::issuer_of(self, expected.instance(), certificate)
            .ok_or_else(|| "the certificate's authority is not approved".to_owned())?;
        if ca.authentication_only {
            return Err(format!("the authority '{}' may not certify signing keys", ca.name));
        }
        let profile = CertificateProfile::from_class_name(&ca.profile_class).ok_or_else(|| {
            format!("the certificate profile '{}' is not known", ca.profile_class)
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
        let entry: Option<&ApprovedCaEntry> =
            self.issuer_in_any_instance(certificate).filter(|ca| ca.certificate == *issuer);
        let trust = match entry {
            Some(entry) => self.ocsp_trust(entry),
            None => OcspTrust {
                responders_of_issuer: &[],
                all_responders: self.all_ocsp_responders(),
                all_cas: self.all_cas(),
            },
        };
        ocsp::judge(response, certificate, issuer, &trust, &self.ocsp_policy(), at)
    }
}

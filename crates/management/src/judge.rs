//! Whether the registry may act on a request: signatures, certificates and identities, in X-Road's order
//! (`AuthCertRegRequestDecoderCallback`, `BaseSignedRequestCallback` and their kin).
//!
//! Stricter than X-Road 7.8 in four points. The signer of a request about a server alone (its address,
//! its maintenance) must be the server's owner; X-Road looks at that only in requests about clients. An
//! authority that is approved for authentication alone certifies no signer. RSA keys have 2048 bits at
//! least, and SHA-1 signs nothing. The service must be that of the instance's management services in
//! every kind, not in the registration of certificates alone.

use causeway_globalconf::{ApprovedCaEntry, GlobalConf};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId, has_illegal_characters};
use causeway_message::{Fault, codes};
use causeway_pki::ocsp::{self, OcspResponse};
use causeway_pki::profile::CertificateProfile;
use causeway_pki::{Certificate, EcdsaForm, SignatureAlgorithm};
use time::OffsetDateTime;

use crate::address::is_host;
use crate::message::{Evidence, Message, Signature};
use crate::request::Request;

/// Judges a request at a moment, by the global configuration of that moment.
///
/// What it does not look at is the registry's own records: whether the request makes sense there is the
/// registry's to decide.
///
/// # Errors
/// The first rule that is broken: `global_conf_outdated`, `cert_validation`, `incorrect_certificate`,
/// `incorrect_validation_info`, `invalid_signature_value`, `invalid_client_identifier`,
/// `invalid_request`, or `internal_error` for a certificate of an unknown authority, as at X-Road.
pub fn judge(message: &Message, conf: &GlobalConf, now: OffsetDateTime) -> Result<(), Fault> {
    if conf.valid_at(now).is_err() {
        return Err(fault(codes::GLOBAL_CONF_OUTDATED, "Global configuration is not valid"));
    }
    let court = Court { message, conf, now };
    match (&message.request, &message.evidence) {
        (
            Request::AuthCertReg { server, address, certificate, .. },
            Evidence::TwiceSigned {
                auth_signature,
                owner_signature,
                auth_certificate,
                owner_certificate,
                owner_ocsp,
            },
        ) => {
            let auth = court.auth_certificate(auth_certificate)?;
            court.signature(&auth, auth_signature, "Auth signature verification failed")?;
            let owner = read(owner_certificate)?;
            let ca = court.member_certificate(&owner, owner_ocsp)?;
            court.signature(&owner, owner_signature, "Owner signature verification failed.")?;
            court.service()?;
            court.server(server)?;
            if auth_certificate[..] != certificate[..] {
                let text = "Authentication certificates do not match.";
                return Err(fault(codes::CERT_VALIDATION, text));
            }
            court.owner_signed(&owner, ca, server)?;
            host(address.as_deref())
        }
        (
            Request::AuthCertDeletion { server, .. } | Request::ClientDeletion { server, .. },
            Evidence::None,
        ) => {
            court.service()?;
            court.server(server)?;
            message.request.client().map_or(Ok(()), legal_client)
        }
        (request, Evidence::Signed { signature, certificate, ocsp }) => {
            let signer = read(certificate)?;
            court.signature(&signer, signature, "Client signature verification failed")?;
            let ca = court.member_certificate(&signer, ocsp)?;
            court.service()?;
            court.server(request.server())?;
            match request.client() {
                Some(client) => court.client_signed(&signer, ca, client)?,
                None => court.owner_signed(&signer, ca, request.server())?,
            }
            details(request)
        }
        // Reading a message pairs kinds and evidence; nothing else counts.
        _ => Err(invalid("Client signature is missing")),
    }
}

/// What a kind asks of its fields beside signatures and identities.
fn details(request: &Request) -> Result<(), Fault> {
    match request {
        Request::ClientReg { client, subsystem_name: Some(_), .. }
        | Request::ClientRename { client, .. }
            if client.subsystem_code().is_none() =>
        {
            Err(invalid("Only name of subsystem can be changed"))
        }
        Request::ClientRename { subsystem_name, .. } if subsystem_name.trim().is_empty() => {
            Err(invalid("Invalid subsystem name"))
        }
        Request::AddressChange { address, .. } => host(Some(address)),
        _ => Ok(()),
    }
}

/// A message before its judges.
struct Court<'a> {
    message: &'a Message,
    conf: &'a GlobalConf,
    now: OffsetDateTime,
}

impl<'a> Court<'a> {
    /// The certificate that is to be registered: of an approved authority, valid, for authentication.
    fn auth_certificate(&self, der: &[u8]) -> Result<Certificate, Fault> {
        let certificate = read(der)?;
        let ca = self.authority(&certificate)?;
        let good = certificate.verify_signature(&ca.certificate).is_ok()
            && certificate.is_valid_at(self.now)
            && certificate.is_authentication_certificate();
        if good {
            return Ok(certificate);
        }
        Err(fault(codes::CERT_VALIDATION, "Authentication certificate is not valid"))
    }

    /// A member's signing certificate: of an approved authority, valid, not revoked.
    fn member_certificate(
        &self,
        certificate: &Certificate,
        ocsp: &[u8],
    ) -> Result<&'a ApprovedCaEntry, Fault> {
        let bad = |why: &str| {
            let text = format!("Member (owner/client) sign certificate is invalid: {why}");
            fault(codes::CERT_VALIDATION, &text)
        };
        let ca = self.authority(certificate)?;
        certificate.verify_signature(&ca.certificate).map_err(|e| bad(&e.to_string()))?;
        if !certificate.is_valid_at(self.now) {
            let (from, to) = (certificate.not_before(), certificate.not_after());
            return Err(bad(&format!("it is valid from {from} to {to}")));
        }
        if !certificate.is_signing_certificate() {
            return Err(bad("its key usage lacks nonRepudiation"));
        }
        if ca.authentication_only {
            return Err(bad(&format!("the authority '{}' certifies no signing keys", ca.name)));
        }
        let response = OcspResponse::parse(ocsp).map_err(|e| fault(e.code(), &e.to_string()))?;
        let (trust, policy) = (self.conf.ocsp_trust(ca), self.conf.ocsp_policy());
        ocsp::judge(&response, certificate, &ca.certificate, &trust, &policy, self.now)
            .map_err(|e| fault(e.code(), &e.to_string()))?;
        Ok(ca)
    }

    fn authority(&self, certificate: &Certificate) -> Result<&'a ApprovedCaEntry, Fault> {
        self.conf.issuer_of(self.conf.instance(), certificate).ok_or_else(|| {
            let text = "Certificate is not issued by approved certification service provider.";
            fault(codes::INTERNAL_ERROR, text)
        })
    }

    fn signature(
        &self,
        signer: &Certificate,
        signature: &Signature,
        failed: &str,
    ) -> Result<(), Fault> {
        let holds = SignatureAlgorithm::from_jca_name(&signature.algorithm)
            .zip(signer.public_key().ok())
            .is_some_and(|(algorithm, key)| {
                let (data, value) = (&self.message.soap, &signature.value);
                key.verify(algorithm, EcdsaForm::Der, data, value).is_ok()
            });
        if holds { Ok(()) } else { Err(fault(codes::INVALID_SIGNATURE_VALUE, failed)) }
    }

    /// The service is that of the instance's management services, the sender of the instance.
    fn service(&self) -> Result<(), Fault> {
        let header = &self.message.header;
        let provider = self.conf.management_service().map(|service| &service.provider);
        if provider == Some(header.service.client())
            && header.client.instance() == self.conf.instance()
        {
            return Ok(());
        }
        let text = "Invalid management service address. Contact central server administrator.";
        Err(invalid(text))
    }

    /// The server's identifier may be registered, and its owner is the sender.
    fn server(&self, server: &SecurityServerId) -> Result<(), Fault> {
        let owner = server.owner();
        legal(&[owner.instance(), owner.class(), owner.code(), server.code()])?;
        if self.message.header.client == owner.as_client() {
            return Ok(());
        }
        Err(invalid("Sender does not match server owner."))
    }

    fn owner_signed(
        &self,
        signer: &Certificate,
        ca: &ApprovedCaEntry,
        server: &SecurityServerId,
    ) -> Result<(), Fault> {
        let owner = server.owner();
        let member = self.member_of(signer, ca, owner)?;
        if member == *owner {
            return Ok(());
        }
        Err(invalid(&format!(
            "Subject identifier ({member}) in certificate does not match security server owner identifier ({owner}) in request"
        )))
    }

    fn client_signed(
        &self,
        signer: &Certificate,
        ca: &ApprovedCaEntry,
        client: &ClientId,
    ) -> Result<(), Fault> {
        let member = self.member_of(signer, ca, client.member())?;
        if member != *client.member() {
            return Err(invalid(&format!(
                "Subject identifier ({member}) in certificate does not match client's member identifier ({client}) in request"
            )));
        }
        legal_client(client)
    }

    /// The member whose certificate it is. Profiles that leave the instance out mean this one.
    fn member_of(
        &self,
        signer: &Certificate,
        ca: &ApprovedCaEntry,
        expected: &MemberId,
    ) -> Result<MemberId, Fault> {
        let profile = CertificateProfile::from_class_name(&ca.profile_class).ok_or_else(|| {
            let text = format!("The certificate profile '{}' is not known", ca.profile_class);
            fault(codes::INTERNAL_ERROR, &text)
        })?;
        let expected = MemberId::new(self.conf.instance(), expected.class(), expected.code())
            .map_err(|e| fault(codes::INVALID_CLIENT_IDENTIFIER, &e.to_string()))?;
        profile
            .member(signer, &expected.as_client())
            .map_err(|e| fault(codes::INCORRECT_CERTIFICATE, &e.to_string()))
    }
}

fn read(der: &[u8]) -> Result<Certificate, Fault> {
    Certificate::from_der(der).map_err(|e| fault(codes::INCORRECT_CERTIFICATE, &e.to_string()))
}

fn legal_client(client: &ClientId) -> Result<(), Fault> {
    let member = client.member();
    let subsystem = client.subsystem_code().unwrap_or("-");
    legal(&[member.instance(), member.class(), member.code(), subsystem])
}

fn legal(parts: &[&str]) -> Result<(), Fault> {
    if parts.iter().any(|part| has_illegal_characters(part) || part.len() > 255) {
        let text = "The management request contains an invalid identifier.";
        return Err(fault(codes::INVALID_CLIENT_IDENTIFIER, text));
    }
    Ok(())
}

fn host(address: Option<&str>) -> Result<(), Fault> {
    match address {
        Some(address) if is_host(address) => Ok(()),
        _ => Err(invalid("Invalid server address")),
    }
}

fn invalid(text: &str) -> Fault {
    fault(codes::INVALID_REQUEST, text)
}

fn fault(code: &'static str, text: &str) -> Fault {
    Fault::new(code, text)
}

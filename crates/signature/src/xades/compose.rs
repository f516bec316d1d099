//! Making a signature document.
//!
//! What is signed is written in its canonical form at once: the canonical
//! `SignedInfo` and `SignedProperties` differ from the text in the document
//! only by the four namespace declarations that their apex inherits from the
//! root. The tests hold this against the canonicalizer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_pki::{Certificate, DigestAlgorithm, SignatureAlgorithm, ecdsa_der_to_raw};
use time::OffsetDateTime;

use super::{ASIC, DS, SIGNED_PROPERTIES_TYPE, XADES, XSI};
use crate::SignatureError;
use crate::hashchain::DigestValue;

const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const POLICY: &str = "urn:oid:1.3.6.1.4.1.3516.16.2";
const POLICY_DESCRIPTION: &str = "Profile for High Performance Digital Signatures (version 1.2)";
const POLICY_HASH: &str =
    "BuO0EDNfkxSVlUbxCzmQPzX1AUF1/xx9ytWHk3/6SAOePxQiniEfDYk+90QeYb3lWpV3Izhuz9fKaYyE+lTcXw==";
const POLICY_URI: &str = "https://repo.cyber.ee/dsig-profile-1.2.pdf";

/// What the signature refers to: a file of the container, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `/message.xml` or `/sig-hashchainresult.xml`.
    pub uri: &'static str,
    /// Digest of the file's bytes.
    pub digest: DigestValue,
    /// `text/xml` for a message (REST too), `application/hash-chain-result` for a chain.
    pub mime_type: &'static str,
}

/// Everything about the signer that stays the same from signature to signature.
#[derive(Debug, Clone)]
pub struct Composer {
    algorithm: SignatureAlgorithm,
    digest: DigestAlgorithm,
    /// `SigningCertificate` and `SignaturePolicyIdentifier`.
    fixed_properties: String,
    key_info: String,
    unsigned_certificates: String,
    raw_width: usize,
}

/// A signature that waits for its value.
#[derive(Debug, Clone)]
pub struct ToBeSigned {
    signed_info: String,
    canonical: String,
    signed_properties: String,
    key_info: String,
    unsigned: String,
    raw_width: Option<usize>,
}

impl Composer {
    /// Prepares signing with a certificate. `extra` holds the certification
    /// authorities strictly between it and its root; usually none.
    pub fn new(
        certificate: &Certificate,
        extra: &[Certificate],
        algorithm: SignatureAlgorithm,
    ) -> Self {
        // Parts are digested with SHA-512 whatever the key; so are certificates here.
        let digest = DigestAlgorithm::Sha512;
        let mut fixed = String::with_capacity(1500);
        fixed.push_str("<xades:SigningCertificate>");
        push_certificate(certificate, digest, None, &mut fixed);
        fixed.push_str(
            "</xades:SigningCertificate><xades:SignaturePolicyIdentifier><xades:SignaturePolicyId>",
        );
        fixed.push_str(&format!(
            "<xades:SigPolicyId><xades:Identifier Qualifier=\"OIDAsURN\">{POLICY}</xades:Identifier>\
             <xades:Description>{POLICY_DESCRIPTION}</xades:Description></xades:SigPolicyId>\
             <xades:SigPolicyHash><ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod>\
             <ds:DigestValue>{POLICY_HASH}</ds:DigestValue></xades:SigPolicyHash>\
             <xades:SigPolicyQualifiers><xades:SigPolicyQualifier><xades:SPURI>{POLICY_URI}</xades:SPURI>\
             </xades:SigPolicyQualifier></xades:SigPolicyQualifiers>",
            DigestAlgorithm::Sha512.uri()
        ));
        fixed.push_str("</xades:SignaturePolicyId></xades:SignaturePolicyIdentifier>");

        let mut unsigned = String::new();
        if !extra.is_empty() {
            unsigned.push_str(
                "<xades:CompleteCertificateRefs Id=\"complete-certificate-refs\"><xades:CertRefs>",
            );
            for (index, authority) in extra.iter().enumerate() {
                push_certificate(authority, digest, Some(index + 1), &mut unsigned);
            }
            unsigned.push_str(
                "</xades:CertRefs></xades:CompleteCertificateRefs><xades:CertificateValues>",
            );
            for (index, authority) in extra.iter().enumerate() {
                unsigned.push_str(&format!(
                    "<xades:EncapsulatedX509Certificate Id=\"encapsulated-cert-{}\">{}</xades:EncapsulatedX509Certificate>",
                    index + 1,
                    BASE64.encode(authority.der())
                ));
            }
            unsigned.push_str("</xades:CertificateValues>");
        }
        Self {
            algorithm,
            digest,
            fixed_properties: fixed,
            key_info: format!(
                "<ds:KeyInfo>\n<ds:X509Data>\n<ds:X509Certificate>\n{}\n</ds:X509Certificate>\n</ds:X509Data>\n</ds:KeyInfo>",
                BASE64.encode(certificate.der())
            ),
            unsigned_certificates: unsigned,
            raw_width: match certificate.key_kind() {
                causeway_pki::KeyKind::EcP384 => 48,
                causeway_pki::KeyKind::EcP521 => 66,
                _ => 32,
            },
        }
    }

    /// Composes the document around one reference. `ocsp` holds the OCSP
    /// responses (DER) of the signing certificate and of each extra
    /// certificate, in that order.
    pub fn compose(
        &self,
        reference: &Reference,
        ocsp: &[&[u8]],
        signing_time: OffsetDateTime,
    ) -> ToBeSigned {
        let properties = format!(
            " Id=\"signed-properties\"><xades:SignedSignatureProperties><xades:SigningTime>{}</xades:SigningTime>{}\
             </xades:SignedSignatureProperties><xades:SignedDataObjectProperties>\
             <xades:DataObjectFormat ObjectReference=\"#signature-reference-0\"><xades:MimeType>{}</xades:MimeType>\
             </xades:DataObjectFormat></xades:SignedDataObjectProperties></xades:SignedProperties>",
            written_time(signing_time),
            self.fixed_properties,
            reference.mime_type
        );
        let canonical = format!("<xades:SignedProperties {}{properties}", inherited());
        let properties_digest = self.digest.digest(canonical.as_bytes());
        let signed_info = format!(
            ">\n<ds:CanonicalizationMethod Algorithm=\"{C14N}\"></ds:CanonicalizationMethod>\n\
             <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod>\n\
             <ds:Reference Id=\"signature-reference-0\" URI=\"{}\">\n{}</ds:Reference>\n\
             <ds:Reference Id=\"signature-reference-1\" Type=\"{SIGNED_PROPERTIES_TYPE}\" URI=\"#signed-properties\">\n{}</ds:Reference>\n\
             </ds:SignedInfo>",
            self.algorithm.uri(),
            reference.uri,
            digest_elements(reference.digest.algorithm, &reference.digest.value),
            digest_elements(self.digest, &properties_digest),
        );
        let mut unsigned = self.unsigned_certificates.clone();
        unsigned.push_str("<xades:RevocationValues><xades:OCSPValues>");
        for (index, response) in ocsp.iter().enumerate() {
            unsigned.push_str(&format!(
                "<xades:EncapsulatedOCSPValue Id=\"ocsp-response-{}\">",
                index + 1
            ));
            BASE64.encode_string(response, &mut unsigned);
            unsigned.push_str("</xades:EncapsulatedOCSPValue>");
        }
        unsigned.push_str("</xades:OCSPValues></xades:RevocationValues>");
        ToBeSigned {
            canonical: format!("<ds:SignedInfo {}{signed_info}", inherited()),
            signed_info,
            signed_properties: properties,
            key_info: self.key_info.clone(),
            unsigned,
            raw_width: matches!(self.algorithm, SignatureAlgorithm::Ecdsa(_))
                .then_some(self.raw_width),
        }
    }
}

impl ToBeSigned {
    /// The octets to sign: the canonical `SignedInfo`.
    pub fn octets(&self) -> &[u8] {
        self.canonical.as_bytes()
    }

    /// Puts the value in. An ECDSA value is given in DER and written as `r ‖ s` of the curve's full width.
    ///
    /// # Errors
    /// [`SignatureError::CannotCreate`] when an ECDSA value is not DER of the expected width.
    pub fn finish(self, value: &[u8]) -> Result<String, SignatureError> {
        let value = match self.raw_width {
            Some(width) => BASE64.encode(
                ecdsa_der_to_raw(value, width)
                    .map_err(|e| SignatureError::CannotCreate(e.to_string()))?,
            ),
            None => BASE64.encode(value),
        };
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?><asic:XAdESSignatures {}>\
             <ds:Signature Id=\"signature\">\n<ds:SignedInfo{}\n<ds:SignatureValue Id=\"signature-value\">\n{value}\n</ds:SignatureValue>\n{}\n\
             <ds:Object><xades:QualifyingProperties Target=\"#signature\"><xades:SignedProperties{}\
             <xades:UnsignedProperties><xades:UnsignedSignatureProperties>{}</xades:UnsignedSignatureProperties>\
             </xades:UnsignedProperties></xades:QualifyingProperties></ds:Object>\n</ds:Signature></asic:XAdESSignatures>",
            inherited(),
            self.signed_info,
            self.key_info,
            self.signed_properties,
            self.unsigned,
        ))
    }
}

/// The declarations of the root, in canonical order.
fn inherited() -> String {
    format!("xmlns:asic=\"{ASIC}\" xmlns:ds=\"{DS}\" xmlns:xades=\"{XADES}\" xmlns:xsi=\"{XSI}\"")
}

fn digest_elements(algorithm: DigestAlgorithm, value: &[u8]) -> String {
    format!(
        "<ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod>\n<ds:DigestValue>{}</ds:DigestValue>\n",
        algorithm.uri(),
        BASE64.encode(value)
    )
}

fn push_certificate(
    certificate: &Certificate,
    digest: DigestAlgorithm,
    number: Option<usize>,
    out: &mut String,
) {
    match number {
        Some(n) => out.push_str(&format!("<xades:Cert URI=\"#encapsulated-cert-{n}\">")),
        None => out.push_str("<xades:Cert>"),
    }
    out.push_str(&format!(
        "<xades:CertDigest><ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{}</ds:DigestValue></xades:CertDigest>\
         <xades:IssuerSerial><ds:X509IssuerName>{}</ds:X509IssuerName><ds:X509SerialNumber>{}</ds:X509SerialNumber></xades:IssuerSerial></xades:Cert>",
        digest.uri(),
        BASE64.encode(certificate.digest(digest)),
        canonical_text(&certificate.issuer_rfc2253()),
        certificate.serial_decimal(),
    ));
}

/// Character data as canonical XML writes it.
fn canonical_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            c if u32::from(c) < 0x20 && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// `xs:dateTime` in UTC, with milliseconds unless they are zero.
fn written_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let date = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    match at.millisecond() {
        0 => format!("{date}Z"),
        ms => format!("{date}.{ms:03}Z"),
    }
}

//! Reading a signature document.
//!
//! One signature per document, unique ids, and every same-document reference
//! leads to the signed properties of that very signature: nothing can be
//! wrapped in from elsewhere in the document.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use causeway_pki::ocsp::OcspResponse;
use causeway_pki::{Certificate, DigestAlgorithm, EcdsaForm, SignatureAlgorithm};
use causeway_xml::{Canonicalization, Document, Element, Limits, XmlError, decode_base64};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DS, Mould, XADES};
use crate::SignatureError;
use crate::hashchain::DigestValue;

/// Most references in one signature (as X-Road's library allows).
const MAX_REFERENCES: usize = 30;
/// Most certificates and OCSP responses that are read.
const MAX_VALUES: usize = 32;
/// The most prefixes that one canonicalization method may list.
const MAX_PREFIXES: usize = 32;

/// A reference of the signature to a file outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReference {
    /// The file's name.
    pub uri: String,
    /// The digest that the signature states.
    pub digest: DigestValue,
    /// Transforms on the file before it is digested; usually none.
    pub transforms: Vec<Transform>,
}

/// A canonicalization named as a transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform(Canonicalization, Vec<String>);

/// How the document names the signing certificate in what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The digest of the certificate.
    pub digest: DigestValue,
}

/// An extra certificate with the digest by which the document refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateReference {
    /// The certificate.
    pub certificate: Certificate,
    /// The digest stated for it.
    pub digest: DigestValue,
}

/// A signature document, read and bounded, not yet judged.
#[derive(Debug, Clone)]
pub struct SignatureDocument {
    pub(super) signed_info: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) references: Vec<SignedReference>,
    /// The stated and the true digest of the signed properties.
    pub(super) properties: (DigestValue, Vec<u8>),
    pub(super) signing_time: Option<OffsetDateTime>,
    steady: Arc<Steady>,
}

/// What is the same in many documents of one signer, and so shared by those that are read by one [`Mould`].
#[derive(Debug)]
struct Steady {
    algorithm: SignatureAlgorithm,
    certificate: Option<Certificate>,
    bindings: Vec<Binding>,
    extra: Vec<CertificateReference>,
    ocsp: Vec<OcspResponse>,
    timestamps: Vec<Vec<u8>>,
    vouchers: OnceLock<[u8; 32]>,
}

fn malformed(text: impl Into<String>) -> SignatureError {
    SignatureError::malformed(text)
}

impl SignatureDocument {
    /// Reads a document. The root may be `XAdESSignatures` or the signature itself.
    ///
    /// # Errors
    /// [`SignatureError::InvalidXml`] and [`SignatureError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        Self::parse_and(bytes, |_, _, _| ()).map(|(document, ())| document)
    }

    /// As [`SignatureDocument::parse`]; with a mould by which others of the
    /// same signer can be read, where the document is fit for one.
    ///
    /// # Errors
    /// As [`SignatureDocument::parse`].
    pub fn parse_with_mould(bytes: &[u8]) -> Result<(Self, Option<Mould>), SignatureError> {
        Self::parse_and(bytes, |signature, document, properties| {
            Mould::of(bytes, signature, document, properties)
        })
    }

    fn parse_and<T>(
        bytes: &[u8],
        then: impl FnOnce(Element<'_>, &Self, Vec<u8>) -> T,
    ) -> Result<(Self, T), SignatureError> {
        let limits = Limits {
            max_bytes: 4 << 20,
            max_depth: 40,
            max_elements: 20_000,
            max_attributes: 64,
            max_scope: 200_000,
        };
        let doc = Document::parse(bytes, &limits).map_err(|e| match e {
            XmlError::Malformed(text) => SignatureError::InvalidXml(text),
            other => SignatureError::InvalidXml(other.to_string()),
        })?;
        let root = doc.root();
        let ids = unique_ids(root)?;
        let mut signatures = root.descendants().filter(|e| e.is(DS, "Signature"));
        let signature =
            signatures.next().ok_or_else(|| malformed("The document has no signature"))?;
        if signatures.next().is_some() {
            return Err(malformed("The document has more than one signature"));
        }
        if signature != root && signature.parent() != Some(root) {
            return Err(malformed("The signature is not where a signature belongs"));
        }
        let (document, properties) = Reader { signature, ids }.read()?;
        let more = then(signature, &document, properties);
        Ok((document, more))
    }

    /// The canonical `SignedInfo`.
    pub fn signed_info(&self) -> &[u8] {
        &self.signed_info
    }

    /// The signature algorithm.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.steady.algorithm
    }

    /// The decoded signature value: what a single timestamp stamps.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The files that the signature refers to.
    pub fn references(&self) -> &[SignedReference] {
        &self.references
    }

    /// The reference to a file of this name.
    pub fn reference(&self, uri: &str) -> Option<&SignedReference> {
        self.references.iter().find(|r| r.uri == uri)
    }

    /// The signing certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.steady.certificate.as_ref()
    }

    /// The time that the signer claims.
    pub fn signing_time(&self) -> Option<OffsetDateTime> {
        self.signing_time
    }

    /// Certification authorities that came along.
    pub fn extra(&self) -> &[CertificateReference] {
        &self.steady.extra
    }

    /// OCSP responses that came along.
    pub fn ocsp_responses(&self) -> &[OcspResponse] {
        &self.steady.ocsp
    }

    /// Timestamp tokens (DER) inside the document.
    pub fn timestamps(&self) -> &[Vec<u8>] {
        &self.steady.timestamps
    }

    /// SHA-256 over what vouches for the signer: the certificates and the OCSP responses.
    pub fn vouchers(&self) -> [u8; 32] {
        *self.steady.vouchers.get_or_init(|| {
            let mut all = Vec::new();
            let extra = self.extra().iter().map(|e| &e.certificate);
            for certificate in self.certificate().into_iter().chain(extra) {
                all.extend_from_slice(&certificate.sha256());
            }
            for response in self.ocsp_responses() {
                all.extend_from_slice(&DigestAlgorithm::Sha256.digest(response.der()));
            }
            let mut digest = [0; 32];
            digest.copy_from_slice(&DigestAlgorithm::Sha256.digest(&all));
            digest
        })
    }

    /// Judges the cryptography: the signature value over `SignedInfo` with the
    /// signing certificate's key, the digest of the signed properties, and
    /// that these name that certificate. Whether the certificate is to be
    /// trusted, and what the references hold, are other questions.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] without a certificate or where the signed
    /// properties do not name it, [`SignatureError::InvalidValue`] where
    /// something does not match.
    pub fn judge_value(&self) -> Result<(), SignatureError> {
        let certificate = self
            .certificate()
            .ok_or_else(|| malformed("The signature holds no signing certificate"))?;
        certificate
            .public_key()
            .and_then(|key| {
                key.verify_legacy(self.algorithm(), EcdsaForm::Raw, &self.signed_info, &self.value)
            })
            .map_err(|e| SignatureError::InvalidValue(format!("Signature is not valid: {e}")))?;
        if self.properties.0.value != self.properties.1 {
            return Err(SignatureError::InvalidValue(
                "The digest of the signed properties differs".into(),
            ));
        }
        if self.steady.bindings.is_empty() {
            return Err(malformed("The signed properties do not name the signing certificate"));
        }
        let bound = |b: &Binding| certificate.digest(b.digest.algorithm) == b.digest.value;
        if !self.steady.bindings.first().is_some_and(bound) {
            return Err(malformed("The signed properties name another signing certificate"));
        }
        Ok(())
    }
}

impl SignedReference {
    /// Whether these bytes are what was signed.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut current = std::borrow::Cow::Borrowed(bytes);
        for Transform(method, prefixes) in &self.transforms {
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let canonical = Document::parse(&current, &Limits::default())
                .and_then(|doc| doc.root().canonicalize_with_prefixes(*method, &prefixes));
            match canonical {
                Ok(bytes) => current = std::borrow::Cow::Owned(bytes),
                Err(_) => return false,
            }
        }
        self.digest.algorithm.digest(&current) == self.digest.value
    }
}

fn unique_ids<'d>(root: Element<'d>) -> Result<HashMap<&'d str, Element<'d>>, SignatureError> {
    let mut ids = HashMap::new();
    for element in root.descendants() {
        for (namespace, name, value) in element.attributes() {
            if namespace.is_none()
                && name.eq_ignore_ascii_case("id")
                && ids.insert(value, element).is_some()
            {
                return Err(malformed(format!("The id '{}' occurs twice", crate::short(value))));
            }
        }
    }
    Ok(ids)
}

struct Reader<'d> {
    signature: Element<'d>,
    ids: HashMap<&'d str, Element<'d>>,
}

impl<'d> Reader<'d> {
    /// The document, and the canonical form of its signed properties.
    fn read(&self) -> Result<(SignatureDocument, Vec<u8>), SignatureError> {
        let signed_info = child(self.signature, DS, "SignedInfo")?;
        let method = child(signed_info, DS, "CanonicalizationMethod")?;
        let canonicalization = algorithm_of(method, Canonicalization::from_uri)?;
        let prefixes = inclusive_prefixes(method)?;
        let borrowed: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let canonical = signed_info
            .canonicalize_with_prefixes(canonicalization, &borrowed)
            .map_err(|e| malformed(e.to_string()))?;
        let algorithm =
            algorithm_of(child(signed_info, DS, "SignatureMethod")?, SignatureAlgorithm::from_uri)?;
        let value = child(self.signature, DS, "SignatureValue")?;
        let object = child(self.signature, DS, "Object")?;
        let qualifying = child(object, XADES, "QualifyingProperties")?;
        let properties = child(qualifying, XADES, "SignedProperties")?;
        let (references, stated) = self.references(signed_info, properties)?;
        let (stated, transforms) = stated
            .ok_or_else(|| malformed("The signature does not cover its signed properties"))?;
        let unsigned = qualifying
            .child_ns(XADES, "UnsignedProperties")
            .and_then(|u| u.child_ns(XADES, "UnsignedSignatureProperties"));
        let canonical_properties = canonical_properties(properties, &transforms)?;
        let true_digest = stated.algorithm.digest(&canonical_properties);
        let document = SignatureDocument {
            signed_info: canonical,
            value: decode(value)?,
            references,
            properties: (stated, true_digest),
            signing_time: signing_time(properties),
            steady: Arc::new(Steady {
                algorithm,
                certificate: self.signing_certificate()?,
                bindings: bindings(properties)?,
                extra: self.extra_certificates(unsigned)?,
                ocsp: ocsp_responses(unsigned)?,
                timestamps: timestamps(unsigned)?,
                vouchers: OnceLock::new(),
            }),
        };
        Ok((document, canonical_properties))
    }

    /// The references to files, and the one to the signed properties.
    #[allow(clippy::type_complexity, reason = "used once, right above")]
    fn references(
        &self,
        signed_info: Element<'d>,
        properties: Element<'d>,
    ) -> Result<(Vec<SignedReference>, Option<(DigestValue, Vec<Transform>)>), SignatureError> {
        let mut files: Vec<SignedReference> = Vec::new();
        let mut stated = None;
        for (count, reference) in
            signed_info.children().filter(|c| c.is(DS, "Reference")).enumerate()
        {
            if count == MAX_REFERENCES {
                return Err(malformed("The signature has too many references"));
            }
            let uri =
                reference.attribute("URI").ok_or_else(|| malformed("A reference has no URI"))?;
            let digest = digest_of(reference)?;
            let transforms = transforms(reference)?;
            match uri.strip_prefix('#') {
                Some(id) => {
                    if self.ids.get(id) != Some(&properties) || stated.is_some() {
                        let text = format!(
                            "The reference '{}' leads to something that is not the signed properties",
                            crate::short(uri)
                        );
                        return Err(malformed(text));
                    }
                    stated = Some((digest, transforms));
                }
                None if files.iter().any(|f| f.uri == uri) => {
                    return Err(malformed(format!("'{}' is referred to twice", crate::short(uri))));
                }
                None => files.push(SignedReference { uri: uri.to_owned(), digest, transforms }),
            }
        }
        Ok((files, stated))
    }

    fn signing_certificate(&self) -> Result<Option<Certificate>, SignatureError> {
        self.signature
            .child_ns(DS, "KeyInfo")
            .and_then(|k| k.child_ns(DS, "X509Data"))
            .and_then(|d| d.child_ns(DS, "X509Certificate"))
            .map(certificate)
            .transpose()
    }

    fn extra_certificates(
        &self,
        unsigned: Option<Element<'d>>,
    ) -> Result<Vec<CertificateReference>, SignatureError> {
        let refs = unsigned
            .and_then(|u| u.child_ns(XADES, "CompleteCertificateRefs"))
            .and_then(|r| r.child_ns(XADES, "CertRefs"));
        let Some(refs) = refs else { return Ok(Vec::new()) };
        let mut extra = Vec::new();
        for cert in refs.children().filter(|c| c.is(XADES, "Cert")) {
            if extra.len() == MAX_VALUES {
                return Err(malformed("The signature brings too many certificates"));
            }
            let target = cert
                .attribute("URI")
                .and_then(|uri| uri.strip_prefix('#'))
                .and_then(|id| self.ids.get(id))
                .ok_or_else(|| malformed("A certificate reference leads nowhere"))?;
            let certificate = certificate(*target)?;
            let digest = digest_of(child(cert, XADES, "CertDigest")?)?;
            if certificate.digest(digest.algorithm) != digest.value {
                return Err(malformed("The digest of an extra certificate differs"));
            }
            extra.push(CertificateReference { certificate, digest });
        }
        Ok(extra)
    }
}

fn child<'d>(
    parent: Element<'d>,
    namespace: &str,
    name: &str,
) -> Result<Element<'d>, SignatureError> {
    let mut found = parent.children().filter(|c| c.is(namespace, name));
    let first =
        found.next().ok_or_else(|| malformed(format!("The signature has no element {name}")))?;
    if found.next().is_some() {
        return Err(malformed(format!("The signature has more than one element {name}")));
    }
    Ok(first)
}

fn algorithm_of<T>(
    element: Element<'_>,
    from_uri: impl Fn(&str) -> Option<T>,
) -> Result<T, SignatureError> {
    let uri = element.attribute("Algorithm").unwrap_or_default();
    from_uri(uri)
        .ok_or_else(|| malformed(format!("The algorithm '{}' is not supported", crate::short(uri))))
}

fn decode(element: Element<'_>) -> Result<Vec<u8>, SignatureError> {
    decode_base64(&element.text())
        .ok_or_else(|| malformed(format!("{} is not base64", element.name())))
}

fn certificate(element: Element<'_>) -> Result<Certificate, SignatureError> {
    Certificate::from_der(&decode(element)?)
        .map_err(|e| malformed(format!("A certificate cannot be read: {e}")))
}

fn digest_of(parent: Element<'_>) -> Result<DigestValue, SignatureError> {
    Ok(DigestValue {
        algorithm: algorithm_of(child(parent, DS, "DigestMethod")?, DigestAlgorithm::from_uri)?,
        value: decode(child(parent, DS, "DigestValue")?)?,
    })
}

/// The prefixes that exclusive canonicalization is to treat as inclusive does (its recommendation,
/// section 2). Each costs a look-up for each element.
fn inclusive_prefixes(method: Element<'_>) -> Result<Vec<String>, SignatureError> {
    let list = method.child("InclusiveNamespaces").and_then(|i| i.attribute("PrefixList"));
    let mut prefixes = Vec::new();
    for prefix in list.unwrap_or_default().split_ascii_whitespace() {
        if prefixes.len() == MAX_PREFIXES {
            return Err(malformed("A canonicalization method lists too many prefixes"));
        }
        prefixes.push(prefix.to_owned());
    }
    Ok(prefixes)
}

fn transforms(reference: Element<'_>) -> Result<Vec<Transform>, SignatureError> {
    let Some(list) = reference.child_ns(DS, "Transforms") else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for transform in list.children() {
        if out.len() == 5 {
            return Err(malformed("A reference has too many transforms"));
        }
        out.push(Transform(
            algorithm_of(transform, Canonicalization::from_uri)?,
            inclusive_prefixes(transform)?,
        ));
    }
    Ok(out)
}

/// Without transforms, a same-document reference is digested in inclusive canonical form (XML Signature 4.4.3.2).
fn canonical_properties(
    properties: Element<'_>,
    transforms: &[Transform],
) -> Result<Vec<u8>, SignatureError> {
    let canonical = match transforms {
        [] => properties.canonicalize(Canonicalization::Inclusive),
        [Transform(method, prefixes)] => {
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            properties.canonicalize_with_prefixes(*method, &prefixes)
        }
        _ => return Err(malformed("The signed properties have more than one transform")),
    };
    canonical.map_err(|e| malformed(e.to_string()))
}

/// The digests in `SigningCertificate` or `SigningCertificateV2`; the first is the signing certificate's.
fn bindings(properties: Element<'_>) -> Result<Vec<Binding>, SignatureError> {
    let signature_properties = child(properties, XADES, "SignedSignatureProperties")?;
    signature_properties
        .children()
        .filter(|c| c.is(XADES, "SigningCertificate") || c.is(XADES, "SigningCertificateV2"))
        .flat_map(|c| c.children().filter(|cert| cert.is(XADES, "Cert")))
        .take(MAX_VALUES)
        .map(|cert| Ok(Binding { digest: digest_of(child(cert, XADES, "CertDigest")?)? }))
        .collect()
}

fn signing_time(properties: Element<'_>) -> Option<OffsetDateTime> {
    let time =
        properties.child_ns(XADES, "SignedSignatureProperties")?.child_ns(XADES, "SigningTime")?;
    parse_time(&time.text())
}

pub(super) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok()
}

fn ocsp_responses(unsigned: Option<Element<'_>>) -> Result<Vec<OcspResponse>, SignatureError> {
    let values = unsigned
        .and_then(|u| u.child_ns(XADES, "RevocationValues"))
        .and_then(|r| r.child_ns(XADES, "OCSPValues"));
    let Some(values) = values else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for value in values.children().filter(|v| v.is(XADES, "EncapsulatedOCSPValue")) {
        if out.len() == MAX_VALUES {
            return Err(malformed("The signature brings too many OCSP responses"));
        }
        let response = OcspResponse::parse(&decode(value)?)
            .map_err(|e| malformed(format!("An OCSP response cannot be read: {e}")))?;
        out.push(response);
    }
    Ok(out)
}

/// Tokens in `SignatureTimeStamp`; an older form has the token as its own text.
fn timestamps(unsigned: Option<Element<'_>>) -> Result<Vec<Vec<u8>>, SignatureError> {
    let Some(unsigned) = unsigned else { return Ok(Vec::new()) };
    unsigned
        .children()
        .filter(|c| c.is(XADES, "SignatureTimeStamp"))
        .take(MAX_VALUES)
        .map(|stamp| decode(stamp.child_ns(XADES, "EncapsulatedTimeStamp").unwrap_or(stamp)))
        .collect()
}

use causeway_pki::DigestAlgorithm;
use causeway_xml::{Element, Limits, Writer};
use time::OffsetDateTime;

use crate::shared::write::{certificate, start};
use crate::structure::Structure;
use crate::{EncodedCertificate, GlobalConfError, instant};

/// A configuration anchor: where a configuration is first downloaded, and the certificates that
/// verify it (protocol reference 7.10). Trust in an instance begins here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// When it was made; anchors inside private parameters may leave it out.
    pub generated_at: Option<OffsetDateTime>,
    /// The instance whose configuration it leads to.
    pub instance: String,
    /// The sources, at least one.
    pub sources: Vec<AnchorSource>,
}

/// One download address of an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorSource {
    /// Where the signed directory is.
    pub url: String,
    /// The certificates that verify it, at least one.
    pub certificates: Vec<EncodedCertificate>,
}

impl Anchor {
    /// Reads an anchor file of at most 10 MiB.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when the XML is refused, or the instance, a source, its URL or
    /// its certificates are missing.
    pub fn parse(xml: &[u8]) -> Result<Self, GlobalConfError> {
        let s = Structure::new("configuration anchor");
        let document = s.document(xml, &Limits::default(), "configurationAnchor")?;
        Self::read(s, document.root())
    }

    /// Writes an anchor file.
    ///
    /// # Errors
    /// [`GlobalConfError::CannotWrite`] when there is no source, a source has no certificate, or the
    /// time cannot be written.
    pub fn to_xml(&self) -> Result<Vec<u8>, GlobalConfError> {
        let mut w = start("configurationAnchor");
        self.write_content(&mut w)?;
        Ok(w.finish().into_bytes())
    }

    /// The fingerprint of an anchor file, to compare by eye before it is trusted: SHA-256, upper-case
    /// hexadecimal with colons.
    pub fn fingerprint(file: &[u8]) -> String {
        let digest = DigestAlgorithm::Sha256.digest(file);
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    pub(crate) fn read(s: Structure, e: Element<'_>) -> Result<Self, GlobalConfError> {
        let sources = s.all(e, "source").map(|e| source(s, e)).collect::<Result<Vec<_>, _>>()?;
        if sources.is_empty() {
            return Err(s.error("no 'source' in 'configurationAnchor'"));
        }
        Ok(Self {
            generated_at: s.at_most_one(e, "generatedAt")?.map(|e| s.date_time(e)).transpose()?,
            instance: s.token(e, "instanceIdentifier")?,
            sources,
        })
    }

    pub(crate) fn write_content(&self, w: &mut Writer) -> Result<(), GlobalConfError> {
        let refused = |why: &str| GlobalConfError::cannot_write("configuration anchor", why);
        if let Some(at) = self.generated_at {
            let at = instant::format_milliseconds(at)
                .ok_or_else(|| refused("its time is outside the years 0 to 9999"))?;
            w.element("generatedAt", &[], &at);
        }
        w.element("instanceIdentifier", &[], &self.instance);
        if self.sources.is_empty() {
            return Err(refused("it has no source"));
        }
        for source in &self.sources {
            if source.certificates.is_empty() {
                return Err(refused(&format!("{} has no verification certificate", source.url)));
            }
            w.start("source", &[]);
            w.element("downloadURL", &[], &source.url);
            source.certificates.iter().for_each(|c| certificate(w, "verificationCert", c));
            w.end();
        }
        Ok(())
    }
}

fn source(s: Structure, e: Element<'_>) -> Result<AnchorSource, GlobalConfError> {
    let certificates = s.certificates(e, "verificationCert")?;
    if certificates.is_empty() {
        return Err(s.error("no 'verificationCert' in 'source'"));
    }
    Ok(AnchorSource { url: s.token(e, "downloadURL")?, certificates })
}

use causeway_identifiers::ClientId;
use causeway_xml::Limits;

use crate::shared::write::{certificate, client_id, start};
use crate::structure::Structure;
use crate::{Anchor, EncodedCertificate, GlobalConfError};

/// Private parameters: what only the instance's own security servers need (protocol reference 7.8).
///
/// The document is the same in all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateParameters {
    /// The instance identifier.
    pub instance: String,
    /// Anchors of the instances with which this one is federated.
    pub anchors: Vec<Anchor>,
    /// The management services.
    pub management: ManagementService,
    /// How long a record of the message log may wait for its timestamp, in seconds.
    pub timestamping_interval_seconds: u32,
}

/// Where security servers send management requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementService {
    /// The URL at which authentication certificates are registered.
    pub registration_url: String,
    /// The TLS certificate of that address.
    pub registration_certificate: Option<EncodedCertificate>,
    /// The client that provides the management services.
    pub provider: ClientId,
}

impl PrivateParameters {
    /// Reads a document of at most 10 MiB. Unknown elements are passed over.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when the XML is refused, a required element is missing or
    /// repeated, or a value has the wrong form.
    pub fn parse(xml: &[u8]) -> Result<Self, GlobalConfError> {
        let s = Structure::new("private parameters");
        let document = s.document(xml, &Limits::default(), "conf")?;
        let root = document.root();
        let management = s.one(root, "managementService")?;
        let registration_certificate = match s.at_most_one(management, "authCertRegServiceCert")? {
            Some(e) if !e.text().trim().is_empty() => Some(s.certificate(e)?),
            _ => None,
        };
        Ok(Self {
            instance: s.token(root, "instanceIdentifier")?,
            anchors: s
                .all(root, "configurationAnchor")
                .map(|e| Anchor::read(s, e))
                .collect::<Result<_, _>>()?,
            management: ManagementService {
                registration_url: s
                    .text(management, "authCertRegServiceAddress")?
                    .trim()
                    .to_owned(),
                registration_certificate,
                provider: s.client_id(s.one(management, "managementRequestServiceProviderId")?)?,
            },
            timestamping_interval_seconds: s.number(root, "timeStampingIntervalSeconds")?,
        })
    }

    /// Writes the document, in the order of its schema.
    ///
    /// # Errors
    /// As [`Anchor::to_xml`].
    pub fn to_xml(&self) -> Result<Vec<u8>, GlobalConfError> {
        let mut w = start("conf");
        w.element("instanceIdentifier", &[], &self.instance);
        for anchor in &self.anchors {
            w.start("configurationAnchor", &[]);
            anchor.write_content(&mut w)?;
            w.end();
        }
        w.start("managementService", &[]);
        w.element("authCertRegServiceAddress", &[], &self.management.registration_url);
        if let Some(c) = &self.management.registration_certificate {
            certificate(&mut w, "authCertRegServiceCert", c);
        }
        client_id(&mut w, "managementRequestServiceProviderId", &self.management.provider);
        w.end();
        let interval = self.timestamping_interval_seconds.to_string();
        w.element("timeStampingIntervalSeconds", &[], &interval);
        Ok(w.finish().into_bytes())
    }
}

//! The two manifests, byte for byte as X-Road 7.8 writes them
//! (`OpenDocumentManifestBuilder`, `AsicManifestBuilder`). Nobody verifies
//! them; readers of other makes look into them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_pki::DigestAlgorithm;

use crate::{MIME_TYPE, entry};

/// `META-INF/manifest.xml`: the container, its XML files, its attachments.
pub(crate) fn open_document<'n>(
    documents: impl Iterator<Item = &'n str>,
    attachments: impl Iterator<Item = String>,
) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\" manifest:version=\"1.2\">\n",
    );
    let mut file = |name: &str, media_type: &str| {
        out.push_str("    <manifest:file-entry manifest:media-type=\"");
        out.push_str(media_type);
        out.push_str("\" manifest:full-path=\"");
        out.push_str(name);
        out.push_str("\"/>\n");
    };
    file("/", MIME_TYPE);
    documents.for_each(|name| file(name, "text/xml"));
    attachments.for_each(|name| file(&name, "application/octet-stream"));
    out.push_str("</manifest:manifest>\n");
    out
}

/// `META-INF/ASiCManifest.xml`: what the batch timestamp covers. Its namespace
/// lacks the leading zero of the signature's, as X-Road's does.
pub(crate) fn asic(chain_result: &[u8]) -> String {
    let digest = DigestAlgorithm::Sha512;
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/2918/v1.2.1#\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n\
         <asic:SigReference URI=\"{}\" MimeType=\"vnd.etsi.timestamp-token\"/>\n\
         <asic:DataObjectReference URI=\"{}\" MimeType=\"text/xml\">\n\
         <ds:DigestMethod Algorithm=\"{}\" />\n\
         <ds:DigestValue>{}</ds:DigestValue>\n\
         </asic:DataObjectReference>\n\
         </asic:ASiCManifest>",
        entry::TIMESTAMP,
        entry::TIMESTAMP_CHAIN_RESULT,
        digest.uri(),
        BASE64.encode(digest.digest(chain_result)),
    )
}

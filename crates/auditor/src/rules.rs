//! Which rules are stricter than X-Road's, and what to do when a check fails.

use causeway_signature::{HashChainError, SignatureError};

/// An attachment that differs, or that is not covered.
pub(crate) const ATTACHMENT: &str = "an attachment in the container must be covered by the signature, and be the one that was signed";
const PROPERTIES: &str =
    "the signature must cover its properties, and these must name the signing certificate";

/// The rule that is stricter than X-Road's and that an error tells of, if it is such a rule.
///
/// Texts of errors are compared because one code stands for rules of both kinds; the tests of this
/// crate hold a container against each rule.
pub(crate) fn stricter(error: &SignatureError) -> Option<&'static str> {
    if let SignatureError::HashChain(
        HashChainError::DigestDiffers(uri) | HashChainError::UnusedInput(uri),
    ) = error
        && uri.starts_with("/attachment")
    {
        return Some(ATTACHMENT);
    }
    stricter_by_text(&error.to_string())
}

/// As [`stricter`], by the text of an error.
pub(crate) fn stricter_by_text(text: &str) -> Option<&'static str> {
    const TEXTS: [(&str, &str); 14] = [
        ("does not cover '/attachment", ATTACHMENT),
        ("does not cover its signed properties", PROPERTIES),
        ("do not name the signing certificate", PROPERTIES),
        ("name another signing certificate", PROPERTIES),
        ("not the signed properties", "the signature may refer to nothing else in its document"),
        ("occurs twice", "ids must be unique in the signature document"),
        ("referred to twice", "nothing may be referred to twice"),
        ("more than one", "the document must hold one signature, of which each part occurs once"),
        ("not where a signature belongs", "the signature must stand at the top of its document"),
        ("document type", "XML must not declare a document type"),
        ("the bound on", "XML must stay within bounds of size and depth"),
        ("too deep", "hash chains must stay within bounds of size and depth"),
        (
            "may not certify signing keys",
            "an authority for authentication alone may not certify signers",
        ),
        ("from the future", "an OCSP response must not be from after the time of judgement"),
    ];
    TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, rule)| *rule)
}

/// What to do when a check fails with this code.
pub(crate) fn next_step(code: &str) -> &'static str {
    const ANOTHER_COPY: &str = "Fetch the container again from the security server that logged the message \
        (GET /asic), or take another copy from the archive, and compare the two.";
    const CONFIGURATION: &str = "Make sure that --conf is the configuration of the federation in which the \
        message was exchanged, from a time when this authority was approved \
        (GET /verificationconf of a security server).";
    match code {
        "asic_mime_type_not_found" | "asic_invalid_mime_type" => {
            "The file is not a signed container. Containers of an archive (mlog-….zip) must be unpacked first, \
             encrypted ones (.gpg) decrypted."
        }
        "io_error" => {
            "The archive is damaged, or made to be read in two ways. Fetch the container again; when it is \
             merely large, allow that with --large."
        }
        "mlog.no_timestamping_provider_found" | "mlog.tsp_certificate_not_found" => CONFIGURATION,
        "incorrect_certificate" => {
            "The signature is not that of the message's sender. If the message was exchanged in another \
             instance, take its configuration; else the message was signed by somebody who was not asked."
        }
        code if code.starts_with("cannot_create_cert_path") => CONFIGURATION,
        code if code.starts_with("invalid_cert_path") => {
            "No OCSP response in the signature vouches for the certificate at the time of judgement. When \
             the timestamp came long after the message, judge at the time of the exchange with --at."
        }
        "internal_error" => {
            "The message itself cannot be read, so nobody knows who should have signed it. Servers that log \
             without bodies leave such messages; only the two servers' other records can help."
        }
        _ => ANOTHER_COPY,
    }
}

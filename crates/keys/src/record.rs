//! The token's file: JSON, of which only the private keys are secret.

use std::path::Path;

use causeway_pki::PublicKey;
use serde::{Deserialize, Serialize};

use crate::seal::{Derivation, Sealed};
use crate::token::{CertificateInfo, KeyInfo, RequestInfo, Usage};
use crate::{KeyId, KeyKind, KeysError};

/// The version of the format that is written and read.
pub(crate) const FORMAT: u32 = 1;
/// The longest file that is read, in bytes.
pub(crate) const LONGEST_FILE: usize = 16 << 20;
/// Most keys in a token.
pub(crate) const MOST_KEYS: usize = 1_000;
/// Most certificates, and most requests, of one key.
pub(crate) const MOST_PER_KEY: usize = 100;
/// The longest label, in bytes.
pub(crate) const LONGEST_LABEL: usize = 255;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenFile {
    pub(crate) format: u32,
    /// Grows with every change: two processes that both change the file notice.
    pub(crate) generation: u64,
    /// Random; part of what seals are bound to, so that parts of two tokens cannot be mixed.
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) derivation: Derivation,
    /// Nothing, sealed: opens with the right PIN.
    pub(crate) pin_check: Sealed,
    pub(crate) keys: Vec<KeyRecord<Sealed>>,
}

/// A key beside its certificates and requests; `S` is what its private half is kept as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRecord<S> {
    #[serde(with = "text")]
    pub(crate) id: KeyId,
    #[serde(with = "text")]
    pub(crate) kind: KeyKind,
    pub(crate) label: String,
    pub(crate) usage: Usage,
    #[serde(with = "base64_bytes")]
    pub(crate) public_key: Vec<u8>,
    pub(crate) private_key: S,
    pub(crate) certificates: Vec<CertificateInfo>,
    pub(crate) requests: Vec<RequestInfo>,
}

impl TokenFile {
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, KeysError> {
        let file: Self =
            serde_json::from_slice(bytes).map_err(|e| KeysError::damaged(path, e.to_string()))?;
        file.check().map_err(|why| KeysError::damaged(path, why))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is unknown, only {FORMAT} is read", self.format));
        }
        self.derivation.check()?;
        check_keys(&self.keys)
    }

    pub(crate) fn key(&self, id: &KeyId) -> Result<&KeyRecord<Sealed>, KeysError> {
        self.keys.iter().find(|k| k.id == *id).ok_or_else(|| KeysError::KeyNotFound(id.clone()))
    }

    /// What the seal of the PIN check is bound to.
    pub(crate) fn pin_context(&self) -> String {
        format!("causeway software token {FORMAT}|{}|pin", self.id)
    }

    /// What the seal of a private key is bound to: it cannot be moved to another name or usage.
    pub(crate) fn key_context(&self, id: &KeyId, usage: Usage) -> String {
        format!("causeway software token {FORMAT}|{}|key|{id}|{usage}", self.id)
    }
}

/// Whether a label is short enough.
pub(crate) fn check_label(label: &str) -> Result<(), KeysError> {
    if label.len() > LONGEST_LABEL {
        return Err(KeysError::TooMany { what: "bytes of label", limit: LONGEST_LABEL });
    }
    Ok(())
}

/// What must hold for the keys of any token.
pub(crate) fn check_keys<S>(keys: &[KeyRecord<S>]) -> Result<(), String> {
    if keys.len() > MOST_KEYS {
        return Err(format!("more than {MOST_KEYS} keys"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for key in keys {
        let id = &key.id;
        let public = PublicKey::from_spki(&key.public_key)
            .map_err(|e| format!("public key of {id}: {e}"))?;
        if KeyId::of(public.bits()) != *id {
            return Err(format!("public key of {id} is another one's"));
        }
        if !seen.insert(id) {
            return Err(format!("key {id} twice"));
        }
        if key.certificates.len() > MOST_PER_KEY || key.requests.len() > MOST_PER_KEY {
            return Err(format!("more than {MOST_PER_KEY} certificates or requests of {id}"));
        }
        let foreign =
            |c: &&CertificateInfo| c.certificate.subject_public_key_info() != key.public_key;
        if let Some(info) = key.certificates.iter().find(foreign) {
            let subject = info.certificate.subject_rfc2253();
            return Err(format!("certificate of {subject} beside {id}, which is not its key"));
        }
    }
    Ok(())
}

impl<S> KeyRecord<S> {
    pub(crate) fn info(&self) -> KeyInfo {
        KeyInfo {
            id: self.id.clone(),
            kind: self.kind,
            label: self.label.clone(),
            usage: self.usage,
            public_key: self.public_key.clone(),
            certificates: self.certificates.clone(),
            requests: self.requests.clone(),
        }
    }
}

/// Bytes as base64.
pub(crate) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))
    }
}

/// A certificate as base64 of its DER.
pub(crate) mod certificate {
    use causeway_pki::Certificate;
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::base64_bytes;

    pub(crate) fn serialize<S: Serializer>(value: &Certificate, to: S) -> Result<S::Ok, S::Error> {
        base64_bytes::serialize(value.der(), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Certificate, D::Error> {
        Certificate::from_der(&base64_bytes::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A member as its three codes: the short form is ambiguous when a code has a slash.
pub(crate) mod member {
    use causeway_identifiers::MemberId;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<MemberId>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|m| [m.instance(), m.class(), m.code()]).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<MemberId>, D::Error> {
        Option::<[String; 3]>::deserialize(from)?
            .map(|[instance, class, code]| MemberId::new(&instance, &class, &code))
            .transpose()
            .map_err(D::Error::custom)
    }
}

/// A value as its written form.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

//! Archives encrypted for their recipients (OpenPGP, RFC 9580), so that `gpg --decrypt` opens them.
//!
//! X-Road pipes archives through GnuPG (`GPGOutputStream`): encrypted with AES-256, without compression,
//! for the keys of a member or of the server, and signed. The same is done here without another program:
//! bytes stream in and out, in memory of a fixed size.

use std::io::{BufRead, Read, Write};

use causeway_asic::AsicError;
use pgp::composed::{
    DecryptionOptions, Deserializable, Message, MessageBuilder, PlainSessionKey, RawSessionKey,
    SignedPublicKey, SignedPublicSubKey, SignedSecretKey, TheRing,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureType};
use pgp::types::{KeyDetails, Password, Seipdv1ReadMode};
use rand_08::rngs::OsRng;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::ArchiveError;

/// The most keys that one archive is encrypted for, or that are tried.
const MAX_KEYS: usize = 256;
/// The largest file of keys, in bytes.
const MAX_KEY_BYTES: u64 = 4 << 20;
/// How much of the plaintext is in one packet, in bytes.
const PACKET: u32 = 1 << 20;

/// Those who can open an archive.
#[derive(Clone)]
pub struct Recipients {
    keys: Vec<SignedPublicKey>,
    at: OffsetDateTime,
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recipients").field(&self.fingerprints()).finish()
    }
}

impl Recipients {
    /// Reads public keys, binary or in ASCII armour, as `gpg --export` gives them. Each must have a key for
    /// encryption that is neither revoked nor expired at `at`.
    ///
    /// # Errors
    /// [`ArchiveError::Key`].
    pub fn read(keys: &[u8], at: OffsetDateTime) -> Result<Self, ArchiveError> {
        let keys = read_keys::<SignedPublicKey>(keys)?;
        for key in &keys {
            key.verify_bindings().map_err(|e| key_error(key, &e.to_string()))?;
            encryption_key(key, at)?;
        }
        Ok(Self { keys, at })
    }

    /// The fingerprints of the recipients' primary keys, hexadecimal.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.fingerprint().to_string()).collect()
    }

    /// These and others.
    ///
    /// # Errors
    /// [`ArchiveError::Key`] when there are more than 256.
    pub fn and(mut self, others: Self) -> Result<Self, ArchiveError> {
        for key in others.keys {
            if !self.keys.iter().any(|known| known.fingerprint() == key.fingerprint()) {
                self.keys.push(key);
            }
        }
        if self.keys.len() > MAX_KEYS {
            return Err(ArchiveError::Key(format!("there are more than {MAX_KEYS}")));
        }
        Ok(self)
    }
}

/// Secret keys: they open archives, and the first of them signs.
pub struct SecretKeys {
    keys: Vec<SignedSecretKey>,
    password: Zeroizing<String>,
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKeys")
    }
}

impl SecretKeys {
    /// Reads secret keys, binary or in ASCII armour, as `gpg --export-secret-keys` gives them, and takes the
    /// password under which they are locked; empty for none.
    ///
    /// # Errors
    /// [`ArchiveError::Key`].
    pub fn read(keys: &[u8], password: &str) -> Result<Self, ArchiveError> {
        let keys = read_keys::<SignedSecretKey>(keys)?;
        Ok(Self { keys, password: Zeroizing::new(password.to_owned()) })
    }
}

/// The key under which an archive is encrypted; it opens this archive alone.
pub struct SessionKey(RawSessionKey);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

/// Whether bytes begin as a ZIP file does not, but an encrypted archive may.
pub fn looks_encrypted(first: &[u8]) -> bool {
    first.first().is_some_and(|byte| byte & 0x80 != 0) || first.starts_with(b"-----BEGIN PGP")
}

/// Encrypts what `plain` gives, piece by piece, and signs it when there is a key for that. The session key
/// that it gives is for checking at once what was written.
///
/// # Errors
/// [`ArchiveError::Key`], [`ArchiveError::Encrypting`].
pub fn encrypt(
    plain: impl Read,
    out: impl Write,
    recipients: &Recipients,
    signer: Option<&SecretKeys>,
) -> Result<SessionKey, ArchiveError> {
    let failed = |e: pgp::errors::Error| ArchiveError::Encrypting(e.to_string());
    let mut builder =
        MessageBuilder::from_reader("", plain).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    for key in &recipients.keys {
        match encryption_key(key, recipients.at)? {
            EncryptionKey::Primary(key) => builder.encrypt_to_key(OsRng, key),
            EncryptionKey::Subkey(key) => builder.encrypt_to_key(OsRng, key),
        }
        .map_err(failed)?;
    }
    builder.partial_chunk_size(PACKET).map_err(failed)?;
    if let Some((key, signer)) = signer.and_then(|s| s.keys.first().zip(Some(s))) {
        let password = Password::from(signer.password.as_str());
        builder.sign(&key.primary_key, password, HashAlgorithm::Sha256);
    }
    let session_key = SessionKey(builder.session_key().clone());
    builder.to_writer(OsRng, out).map_err(failed)?;
    Ok(session_key)
}

/// Decrypts an archive into `out`, piece by piece, and gives the number of bytes.
///
/// Until this has returned without an error, what is in `out` may be anybody's: it is to be thrown away on
/// any error. Signatures are not looked at: they say who encrypted an archive, and that is no evidence
/// for what is in it.
///
/// # Errors
/// [`ArchiveError::NoKey`], [`ArchiveError::Encryption`]; [`ArchiveError::File`] when `out` fails, or for more than
/// `max_bytes`.
pub fn decrypt(
    encrypted: impl BufRead + std::fmt::Debug + Send,
    out: &mut dyn Write,
    keys: &SecretKeys,
    max_bytes: u64,
) -> Result<u64, ArchiveError> {
    let password = Password::from(keys.password.as_str());
    let empty = Password::empty();
    let ring = TheRing {
        secret_keys: keys.keys.iter().collect(),
        key_passwords: vec![&password, &empty],
        ..TheRing::default()
    };
    open(encrypted, out, ring, max_bytes)
}

/// As [`decrypt`], with the session key of the very archive.
///
/// # Errors
/// As [`decrypt`].
pub fn decrypt_with_session_key(
    encrypted: impl BufRead + std::fmt::Debug + Send,
    out: &mut dyn Write,
    key: &SessionKey,
    max_bytes: u64,
) -> Result<u64, ArchiveError> {
    let key = PlainSessionKey::V3_4 { sym_alg: SymmetricKeyAlgorithm::AES256, key: key.0.clone() };
    open(encrypted, out, TheRing { session_keys: vec![key], ..TheRing::default() }, max_bytes)
}

fn open(
    encrypted: impl BufRead + std::fmt::Debug + Send,
    out: &mut dyn Write,
    mut ring: TheRing<'_>,
    max_bytes: u64,
) -> Result<u64, ArchiveError> {
    let damaged = |e: pgp::errors::Error| ArchiveError::Encryption(e.to_string());
    // Nothing of the plaintext is used before all of it was found to be sound, so it may stream.
    ring.decrypt_options =
        DecryptionOptions::new().set_seipdv1_read_mode(Seipdv1ReadMode::Streaming);
    let (message, _) = Message::from_reader(encrypted).map_err(damaged)?;
    if !message.is_encrypted() {
        return Err(ArchiveError::Encryption("it is an OpenPGP message, but not encrypted".into()));
    }
    let (mut message, _) = message.decrypt_the_ring(ring, true).map_err(|e| match e {
        pgp::errors::Error::MissingKey => ArchiveError::NoKey(
            "it is for other keys, or the password of the key is another".into(),
        ),
        other => damaged(other),
    })?;
    // GnuPG compresses unless it is told not to; nothing else is expected inside.
    if message.is_compressed() {
        message = message.decompress().map_err(damaged)?;
    }
    if message.is_encrypted() || message.is_compressed() {
        return Err(ArchiveError::Encryption("what is encrypted is not an archive".into()));
    }
    let mut chunk = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let read = message.read(&mut chunk).map_err(|e| {
            ArchiveError::Encryption(format!("it does not decrypt to its end: {e}"))
        })?;
        if read == 0 {
            return Ok(total);
        }
        total += read as u64;
        if total > max_bytes {
            let what = "the decrypted archive, in bytes,".to_owned();
            return Err(AsicError::TooLarge { what, limit: max_bytes }.into());
        }
        out.write_all(&chunk[..read])?;
    }
}

fn read_keys<K: Deserializable + 'static>(bytes: &[u8]) -> Result<Vec<K>, ArchiveError> {
    let unreadable = |e: pgp::errors::Error| ArchiveError::Key(e.to_string());
    if bytes.len() as u64 > MAX_KEY_BYTES {
        return Err(ArchiveError::Key(format!("the file is larger than {MAX_KEY_BYTES} bytes")));
    }
    let (found, _) = K::from_reader_many(bytes).map_err(unreadable)?;
    let keys = found.take(MAX_KEYS + 1).collect::<Result<Vec<K>, _>>().map_err(unreadable)?;
    match keys.len() {
        0 => Err(ArchiveError::Key("there is none in the file".into())),
        count if count > MAX_KEYS => {
            Err(ArchiveError::Key(format!("there are more than {MAX_KEYS}")))
        }
        _ => Ok(keys),
    }
}

fn key_error(key: &SignedPublicKey, text: &str) -> ArchiveError {
    ArchiveError::Key(format!("{}: {text}", key.fingerprint()))
}

/// The key of a certificate to which archives are encrypted.
enum EncryptionKey<'k> {
    Primary(&'k pgp::packet::PublicKey),
    Subkey(&'k pgp::packet::PublicSubkey),
}

/// The newest subkey for encryption that can be used, else the primary key if that may encrypt.
fn encryption_key(
    key: &SignedPublicKey,
    at: OffsetDateTime,
) -> Result<EncryptionKey<'_>, ArchiveError> {
    if !key.details.revocation_signatures.is_empty() {
        return Err(key_error(key, "the key is revoked"));
    }
    let about_primary: Vec<&Signature> = key
        .details
        .direct_signatures
        .iter()
        .chain(key.details.users.iter().flat_map(|user| &user.signatures))
        .filter(|s| s.issuer_key_id().contains(&&key.primary_key.legacy_key_id()))
        .collect();
    if is_expired(&key.primary_key, newest(about_primary.iter().copied()), at) {
        return Err(key_error(key, "the key has expired"));
    }
    let usable = |subkey: &&SignedPublicSubKey| {
        let revoked =
            subkey.signatures.iter().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation));
        let binding = newest(
            subkey.signatures.iter().filter(|s| s.typ() == Some(SignatureType::SubkeyBinding)),
        );
        !revoked
            && subkey.algorithm().can_encrypt()
            && binding.is_some_and(|s| may_encrypt(&s.key_flags()))
            && !is_expired(&subkey.key, binding, at)
    };
    let subkeys = key.public_subkeys.iter().filter(usable);
    if let Some(subkey) = subkeys.max_by_key(|subkey| subkey.created_at().as_secs()) {
        return Ok(EncryptionKey::Subkey(&subkey.key));
    }
    let primary = newest(about_primary.into_iter()).is_some_and(|s| may_encrypt(&s.key_flags()));
    if primary && key.primary_key.algorithm().can_encrypt() {
        return Ok(EncryptionKey::Primary(&key.primary_key));
    }
    Err(key_error(key, "it has no key for encryption that is neither revoked nor expired"))
}

fn may_encrypt(flags: &KeyFlags) -> bool {
    flags.encrypt_storage() || flags.encrypt_comms()
}

fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|s| s.created().map_or(0, |created| created.as_secs()))
}

fn is_expired(key: &impl KeyDetails, binding: Option<&Signature>, at: OffsetDateTime) -> bool {
    let lifetime = binding.and_then(Signature::key_expiration_time).map_or(0, |d| d.as_secs());
    let until = i64::from(key.created_at().as_secs()) + i64::from(lifetime);
    lifetime != 0 && until <= at.unix_timestamp()
}

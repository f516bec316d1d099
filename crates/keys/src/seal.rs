//! A PIN made into a key (argon2id, RFC 9106), and secrets sealed under it (AES-256-GCM).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::Pin;
use crate::record::base64_bytes;

const SALT: usize = 16;
const KEY: usize = 32;

/// What one guess of a PIN costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB: 8 MiB to 256 MiB.
    pub memory_kib: u32,
    /// Passes over the memory: 1 to 16.
    pub passes: u32,
}

impl Cost {
    /// The least that is accepted; for tests and sandboxes.
    pub const LEAST: Self = Self { memory_kib: 8 << 10, passes: 1 };
}

impl Default for Cost {
    /// 32 MiB, four passes: some 100 ms on a server's core, and it fits a small server's memory.
    fn default() -> Self {
        Self { memory_kib: 32 << 10, passes: 4 }
    }
}

/// How the key is derived, as the token's file says it. One lane: unlocking is rare and need not be fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Derivation {
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    #[serde(with = "base64_bytes")]
    salt: Vec<u8>,
}

/// Failure of the machine's randomness or memory, never of the input's secrets.
pub(crate) type Why = &'static str;

impl Derivation {
    const ALGORITHM: &str = "argon2id";

    pub(crate) fn new(cost: Cost) -> Result<Self, Why> {
        let derivation = Self {
            algorithm: Self::ALGORITHM.to_owned(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            salt: random::<SALT>()?.to_vec(),
        };
        derivation.check()?;
        Ok(derivation)
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes }
    }

    /// A file may not ask for more than we are willing to do, nor for less than keeps guesses dear.
    pub(crate) fn check(&self) -> Result<(), Why> {
        let memory = Cost::LEAST.memory_kib..=256 << 10;
        if self.algorithm != Self::ALGORITHM {
            Err("unknown key derivation")
        } else if !memory.contains(&self.memory_kib) || !(1..=16).contains(&self.passes) {
            Err("cost of the key derivation out of bounds")
        } else if self.salt.len() != SALT {
            Err("salt of the key derivation has the wrong length")
        } else {
            Ok(())
        }
    }

    pub(crate) fn derive(&self, pin: &Pin) -> Result<SealingKey, Why> {
        self.check()?;
        let params = Params::new(self.memory_kib, self.passes, 1, Some(KEY))
            .map_err(|_| "cost of the key derivation out of bounds")?;
        let mut memory = vec![Block::default(); params.block_count()];
        let mut key = Zeroizing::new([0; KEY]);
        let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(pin.as_bytes(), &self.salt, &mut *key, &mut memory);
        memory.zeroize();
        result.map_err(|_| "key derivation failed")?;
        Ok(SealingKey(key))
    }
}

/// The key under which private keys are sealed.
pub(crate) struct SealingKey(Zeroizing<[u8; KEY]>);

/// A sealed secret with its nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(with = "base64_bytes")]
    nonce: Vec<u8>,
    #[serde(with = "base64_bytes")]
    data: Vec<u8>,
}

impl SealingKey {
    /// Seals under a fresh nonce; `context` must be given again to open.
    pub(crate) fn seal(&self, secret: &[u8], context: &str) -> Result<Sealed, Why> {
        let nonce = random::<NONCE_LEN>()?;
        // Room for the tag, so that the secret is not moved and left behind.
        let mut data = Vec::with_capacity(secret.len().saturating_add(AES_256_GCM.tag_len()));
        data.extend_from_slice(secret);
        let sealed = self.key()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut data,
        );
        if sealed.is_err() {
            data.zeroize();
            return Err("sealing failed");
        }
        Ok(Sealed { nonce: nonce.to_vec(), data })
    }

    /// `None` when the key, the context or the bytes are not those of sealing.
    pub(crate) fn open(&self, sealed: &Sealed, context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).ok()?;
        let mut data = Zeroizing::new(sealed.data.clone());
        let length =
            self.key().ok()?.open_in_place(nonce, Aad::from(context), &mut data).ok()?.len();
        data.truncate(length);
        Some(data)
    }

    fn key(&self) -> Result<LessSafeKey, Why> {
        UnboundKey::new(&AES_256_GCM, &*self.0).map(LessSafeKey::new).map_err(|_| "sealing failed")
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Why> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_same_pin_and_context_open() {
        let derivation = Derivation::new(Cost::LEAST).unwrap();
        let key = derivation.derive(&Pin::new("right").unwrap()).unwrap();
        let sealed = key.seal(b"secret", "here").unwrap();
        assert_ne!(sealed, key.seal(b"secret", "here").unwrap());
        let again = derivation.derive(&Pin::new("right").unwrap()).unwrap();
        assert_eq!(**again.open(&sealed, "here").unwrap(), *b"secret");
        assert!(again.open(&sealed, "there").is_none());
        let wrong = derivation.derive(&Pin::new("wrong").unwrap()).unwrap();
        assert!(wrong.open(&sealed, "here").is_none());
        let other_salt = Derivation::new(Cost::LEAST).unwrap();
        assert!(
            other_salt.derive(&Pin::new("right").unwrap()).unwrap().open(&sealed, "here").is_none()
        );
        let mut changed = sealed.clone();
        changed.data[0] ^= 1;
        assert!(again.open(&changed, "here").is_none());
        changed = sealed;
        changed.nonce.pop();
        assert!(again.open(&changed, "here").is_none());
    }

    #[test]
    fn cost_is_bounded_on_both_sides() {
        for (memory_kib, passes) in [(1, 1), (8 << 10, 0), (8 << 10, 17), (257 << 10, 1)] {
            assert!(Derivation::new(Cost { memory_kib, passes }).is_err());
        }
    }
}

//! Passwords: what they must be like, and how they are kept (argon2id, RFC 9106).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::IdentityError;
use crate::random::{self, Randomness};

/// The longest password, in bytes of UTF-8; X-Road's bound.
pub(super) const LONGEST: usize = 255;
const SALT: usize = 16;
const OUTPUT: usize = 32;

/// What one guess of a password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory in KiB: 8 MiB to 256 MiB.
    pub memory_kib: u32,
    /// Passes over the memory: 1 to 16.
    pub passes: u32,
}

impl Cost {
    /// The least that is accepted; for tests and sandboxes.
    pub const LEAST: Self = Self { memory_kib: 8 << 10, passes: 1 };

    fn params(self) -> Result<Params, IdentityError> {
        let bounded = (8 << 10..=256 << 10).contains(&self.memory_kib);
        if !bounded || !(1..=16).contains(&self.passes) {
            return Err(IdentityError::Damaged("the cost of a password is out of bounds".into()));
        }
        Params::new(self.memory_kib, self.passes, 1, Some(OUTPUT))
            .map_err(|_| IdentityError::Derivation("the cost is out of bounds"))
    }
}

impl Default for Cost {
    /// 32 MiB, three passes: some 80 ms on a server's core.
    fn default() -> Self {
        Self { memory_kib: 32 << 10, passes: 3 }
    }
}

/// A password as it is kept: salted, derived, of no use for signing in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    #[serde(flatten)]
    cost: Cost,
    salt: String,
    output: String,
}

impl Derived {
    /// Derives a new password under a fresh salt.
    ///
    /// # Errors
    /// Without randomness or memory.
    pub fn new(password: &str, cost: Cost, random: &dyn Randomness) -> Result<Self, IdentityError> {
        let salt = random::bytes::<SALT>(random)?;
        let output = derive(password, cost, &salt)?;
        Ok(Self { cost, salt: BASE64.encode(salt), output: BASE64.encode(output.as_slice()) })
    }

    /// Whether this is the password, told in a time that does not depend on how much of it is right.
    ///
    /// # Errors
    /// When what is kept is damaged, or without memory.
    pub fn is(&self, password: &str) -> Result<bool, IdentityError> {
        let read = |text: &str| {
            BASE64.decode(text).map_err(|_| IdentityError::Damaged("a password's record".into()))
        };
        let kept = Zeroizing::new(read(&self.output)?);
        let derived = derive(password, self.cost, &read(&self.salt)?)?;
        Ok(bool::from(derived.ct_eq(&kept)))
    }

    /// Spends the time of a check for a user that does not exist, so that the answer's time does not
    /// tell.
    ///
    /// # Errors
    /// Without memory.
    pub fn for_nobody(password: &str, cost: Cost) -> Result<(), IdentityError> {
        derive(password, cost, &[0; SALT]).map(drop)
    }
}

impl std::fmt::Debug for Derived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Derived(…)")
    }
}

fn derive(
    password: &str,
    cost: Cost,
    salt: &[u8],
) -> Result<Zeroizing<[u8; OUTPUT]>, IdentityError> {
    let params = cost.params()?;
    let mut memory = Vec::new();
    if memory.try_reserve_exact(params.block_count()).is_err() {
        return Err(IdentityError::Derivation("there is not enough memory"));
    }
    memory.resize(params.block_count(), Block::default());
    let mut output = Zeroizing::new([0; OUTPUT]);
    let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut *output, &mut memory);
    memory.zeroize();
    result.map_err(|_| IdentityError::Derivation("the derivation failed"))?;
    Ok(output)
}

/// What a new password must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The least number of characters.
    pub minimum_length: usize,
    /// Of how many classes (digits, upper case, lower case, others) it must have characters.
    pub minimum_classes: usize,
}

impl Default for PasswordPolicy {
    /// As X-Road asks of token PINs: ten characters of three classes.
    fn default() -> Self {
        Self { minimum_length: 10, minimum_classes: 3 }
    }
}

impl PasswordPolicy {
    /// Judges a password that is about to be set for a user.
    ///
    /// # Errors
    /// [`IdentityError::WeakPassword`] says what is amiss.
    pub fn check(&self, user: &str, password: &str) -> Result<(), IdentityError> {
        let amiss = |what| Err(IdentityError::WeakPassword(what));
        if password.len() > LONGEST {
            return amiss("is longer than 255 bytes");
        }
        if password.contains(char::is_control) {
            return amiss("has control characters");
        }
        if password.chars().count() < self.minimum_length {
            return amiss("is too short");
        }
        let classes: [fn(char) -> bool; 4] = [
            |c| c.is_numeric(),
            char::is_uppercase,
            char::is_lowercase,
            |c| !c.is_numeric() && !c.is_uppercase() && !c.is_lowercase(),
        ];
        if classes.iter().filter(|class| password.contains(**class)).count() < self.minimum_classes
        {
            return amiss(
                "has too few kinds of characters (digits, upper case, lower case, others)",
            );
        }
        if password.to_lowercase().contains(&user.to_lowercase()) {
            return amiss("contains the user name");
        }
        Ok(())
    }
}

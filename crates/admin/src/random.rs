use ring::rand::{SecureRandom as _, SystemRandom};

/// The source gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness; look at the system's log")]
pub struct Unavailable;

/// Where randomness comes from; a parameter, so that decisions can be tested.
pub trait Randomness: Send + Sync {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// [`Unavailable`] when there is none; what `bytes` holds then must not be used.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable>;
}

/// The operating system's generator.
#[derive(Debug, Clone)]
pub struct SystemRandomness(SystemRandom);

impl Default for SystemRandomness {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        self.0.fill(bytes).map_err(|_| Unavailable)
    }
}

/// So many bytes at once.
pub(crate) fn bytes<const N: usize>(random: &dyn Randomness) -> Result<[u8; N], Unavailable> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

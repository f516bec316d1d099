//! Counts wrong PINs, across restarts, and says how long to wait.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{KeysError, store};

const FILE: &str = "attempts.json";
/// Wrong PINs in a row that cost nothing but the derivation.
const FREE: u32 = 3;
/// The longest wait, in seconds. Long enough against guessing, short enough
/// that nobody can lock the owner out for good.
const LONGEST: u64 = 300;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    failed: u32,
    /// Seconds since 1970 of the last failure.
    last: i64,
}

/// The count of one token.
#[derive(Debug)]
pub(crate) struct Attempts {
    folder: PathBuf,
}

impl Attempts {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Counts an attempt as failed before it is made, so that ending the
    /// process in its midst gains nothing. Gives the count.
    pub(crate) fn begin(&self, now: i64) -> Result<u32, KeysError> {
        let mut count = self.read();
        if count.last > now {
            // The clock was set back: the wait begins anew.
            count.last = now;
            self.write(count)?;
        }
        let wait = wait_after(count.failed);
        let passed = u64::try_from(now.saturating_sub(count.last)).unwrap_or(0);
        if passed < wait {
            return Err(KeysError::PinTooSoon { seconds: wait - passed });
        }
        count = Count { failed: count.failed.saturating_add(1), last: now };
        self.write(count)?;
        Ok(count.failed)
    }

    /// The PIN was right.
    pub(crate) fn succeeded(&self) -> Result<(), KeysError> {
        self.write(Count::default())
    }

    fn read(&self) -> Count {
        // Whoever can damage this file can also delete it, or copy the keys
        // and guess elsewhere; it must not lock the owner out.
        let bytes = std::fs::read(self.folder.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, count: Count) -> Result<(), KeysError> {
        let path = self.folder.join(FILE);
        let bytes = serde_json::to_vec(&count)
            .map_err(|e| KeysError::io("encode", &path, std::io::Error::other(e)))?;
        store::replace(&path, &bytes)
    }
}

/// Seconds to wait after so many failures in a row: 2, 4, 8 … beyond the free ones.
fn wait_after(failed: u32) -> u64 {
    match failed.saturating_sub(FREE) {
        0 if failed < FREE => 0,
        beyond => 2_u64.saturating_pow(beyond.saturating_add(1)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = (0..14).map(wait_after).collect();
        assert_eq!(waits, [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(wait_after(u32::MAX), 300);
    }

    #[test]
    fn the_count_outlives_the_process_and_a_clock_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = || Attempts::new(folder.path());
        for expected in 1..=3 {
            assert_eq!(attempts().begin(1_000).unwrap(), expected);
        }
        let wait = |now| match attempts().begin(now) {
            Err(KeysError::PinTooSoon { seconds }) => seconds,
            other => 1_000 + u64::from(other.unwrap()),
        };
        assert_eq!(wait(1_000), 2);
        assert_eq!(wait(1_001), 1);
        assert_eq!(wait(1_002), 1_004);
        // Four failures: wait four seconds, from the new time when the clock went back.
        assert_eq!(wait(10), 4);
        assert_eq!(wait(14), 1_005);
        attempts().succeeded().unwrap();
        assert_eq!(wait(14), 1_001);
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        assert_eq!(wait(14), 1_001);
    }
}

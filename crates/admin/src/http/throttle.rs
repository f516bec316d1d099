//! How many requests an address, and a user or API key, may make.

use std::collections::HashMap;
use std::hash::Hash;

/// Requests in a second and in a minute; 0 is without a limit. The defaults are X-Road's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// In a second; default 20.
    pub per_second: u32,
    /// In a minute; default 600.
    pub per_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_second: 20, per_minute: 600 }
    }
}

/// Subjects that are remembered.
const MOST: usize = 10_000;

/// Counts requests of subjects (generic cell rate algorithm). Times are in microseconds.
#[derive(Debug)]
pub struct Throttle<S> {
    rates: Rates,
    /// For each of the two limits, until when what was asked so far has used it up.
    used: HashMap<S, [i64; 2]>,
}

impl<S: Hash + Eq> Throttle<S> {
    /// With these limits.
    pub fn new(rates: Rates) -> Self {
        Self { rates, used: HashMap::new() }
    }

    /// Takes one request of a subject.
    ///
    /// # Errors
    /// When it comes too soon: the seconds to wait, at least 1. It does not count then.
    pub fn take(&mut self, subject: S, now: i64) -> Result<(), u64> {
        if self.used.len() >= MOST && !self.used.contains_key(&subject) {
            self.used.retain(|_, until| until.iter().any(|until| *until > now));
            if self.used.len() >= MOST {
                // So many at once are not held up one by one; the bound on connections holds them.
                self.used.clear();
            }
        }
        let limits = [(self.rates.per_second, 1_000_000_i64), (self.rates.per_minute, 60_000_000)];
        let used = self.used.entry(subject).or_default();
        for (until, (_, period)) in used.iter_mut().zip(limits) {
            // A clock that was set back must not hold anybody up for longer than a period.
            *until = (*until).clamp(now, now.saturating_add(period));
        }
        let mut next = *used;
        for ((limit, period), until) in limits.into_iter().zip(&mut next) {
            if limit == 0 {
                continue;
            }
            *until = until.saturating_add(period / i64::from(limit));
            let wait = until.saturating_sub(now).saturating_sub(period);
            if wait > 0 {
                let seconds = u64::try_from(wait).unwrap_or(0).div_ceil(1_000_000);
                return Err(seconds.max(1));
            }
        }
        *used = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn both_limits_hold() {
        let mut throttle = Throttle::new(Rates { per_second: 20, per_minute: 600 });
        let mut taken = |now| (0..100).filter(|_| throttle.take("a", now).is_ok()).count();
        assert_eq!(taken(0), 20);
        assert_eq!(taken(SECOND), 20);
        // 600 at once are for one minute; in the long run it is ten a second.
        let later: usize = (2..120).map(|s| taken(s * SECOND)).sum();
        assert!((1100..=1780).contains(&later), "{later}");
        assert_eq!(taken(1000 * SECOND), 20);
    }

    #[test]
    fn waiting_as_told_is_enough_and_others_are_not_held_up() {
        let mut throttle = Throttle::new(Rates { per_second: 2, per_minute: 3 });
        assert_eq!(throttle.take("a", 0), Ok(()));
        assert_eq!(throttle.take("a", 0), Ok(()));
        assert_eq!(throttle.take("a", 0), Err(1));
        assert_eq!(throttle.take("b", 0), Ok(()));
        assert_eq!(throttle.take("a", SECOND), Ok(()));
        let wait = throttle.take("a", SECOND).unwrap_err();
        assert!(wait > 1);
        let then = SECOND + i64::try_from(wait).unwrap() * SECOND;
        assert_eq!(throttle.take("a", then), Ok(()));
        // The clock goes back by a day.
        throttle.take("a", then - 86_400 * SECOND).ok();
        assert!(throttle.take("a", then - 86_300 * SECOND).is_ok());
    }

    #[test]
    fn no_limit_and_bounded_memory() {
        let mut throttle = Throttle::new(Rates { per_second: 0, per_minute: 0 });
        assert!((0..10_000).all(|_| throttle.take(0, 0).is_ok()));
        let mut throttle = Throttle::new(Rates::default());
        for n in 0..50_000 {
            throttle.take(n, n).unwrap();
            assert!(throttle.used.len() <= MOST);
        }
    }
}

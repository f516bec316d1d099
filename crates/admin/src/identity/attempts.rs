//! Counts failed sign-ins, and says how long to wait before the next counts.
//!
//! Three counts run at once: of a user from one network, of a user from anywhere, and of a network for
//! all users. So nobody guesses for long, neither one user's password nor many users'; and who fails
//! elsewhere does not soon lock a user out here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts that are remembered; beyond that, those that have waited longest are forgotten.
const MOST: usize = 10_000;
/// How long a count lasts after its last failure, in seconds.
const LASTS: i64 = 3600;

/// What a count is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user, from one network.
    UserFrom(String, IpAddr),
    /// A user, from anywhere.
    User(String),
    /// A network, whoever is tried.
    Network(IpAddr),
}

impl Subject {
    /// All that a sign-in of `user` from `address` is counted under.
    pub fn all(user: &str, address: IpAddr) -> [Self; 3] {
        let network = network(address);
        [
            Self::UserFrom(user.to_owned(), network),
            Self::User(user.to_owned()),
            Self::Network(network),
        ]
    }

    /// Seconds to wait after so many failures in a row: none for some, then 2, 4, 8 … up to the longest.
    fn wait_after(&self, failed: u32) -> u64 {
        let (free, longest) = match self {
            Self::UserFrom(..) => (3, 300),
            Self::User(_) => (20, 60),
            Self::Network(_) => (10, 300),
        };
        if failed < free {
            return 0;
        }
        2_u64.saturating_pow(failed.saturating_sub(free).saturating_add(1)).min(longest)
    }
}

/// What is counted as one: an IPv4 address, or the network of 64 bits that one subscriber of IPv6 has.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failed: u32,
    /// Seconds since 1970 of the last failure.
    last: i64,
}

/// The counts. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct Attempts {
    counts: HashMap<Subject, Count>,
}

impl Attempts {
    /// Takes up a count that was kept across a restart.
    pub fn restore(&mut self, subject: Subject, failed: u32, last: i64) {
        self.counts.insert(subject, Count { failed, last });
    }

    /// Counts an attempt as failed under all its subjects before it is made, so that many at a time, or
    /// one that is broken off, gain nothing. Gives the new counts, in the order of the subjects.
    ///
    /// # Errors
    /// When it must wait: the seconds, at least 1. Nothing is counted then.
    pub fn begin<const N: usize>(
        &mut self,
        subjects: &[Subject; N],
        now: i64,
    ) -> Result<[u32; N], u64> {
        let wait = subjects.iter().map(|s| self.wait(s, now)).max().unwrap_or(0);
        if wait > 0 {
            return Err(wait);
        }
        self.make_room(N, now);
        let mut counts = [0; N];
        for (subject, count) in subjects.iter().zip(&mut counts) {
            let kept = self.counts.get(subject).filter(|c| now.saturating_sub(c.last) <= LASTS);
            *count = kept.map_or(0, |c| c.failed).saturating_add(1);
            self.counts.insert(subject.clone(), Count { failed: *count, last: now });
        }
        Ok(counts)
    }

    /// The attempt was good after all: its user begins anew. The network's count goes back by this one
    /// alone, or else one's own account would pay for guessing at others'.
    pub fn succeeded(&mut self, subjects: &[Subject]) {
        for subject in subjects {
            match subject {
                Subject::Network(_) => {
                    if let Some(count) = self.counts.get_mut(subject) {
                        count.failed = count.failed.saturating_sub(1);
                    }
                }
                _ => drop(self.counts.remove(subject)),
            }
        }
    }

    fn wait(&mut self, subject: &Subject, now: i64) -> u64 {
        let Some(count) = self.counts.get_mut(subject) else { return 0 };
        // The clock was set back: the wait begins anew.
        count.last = count.last.min(now);
        let passed = u64::try_from(now.saturating_sub(count.last)).unwrap_or(0);
        subject.wait_after(count.failed).saturating_sub(passed)
    }

    fn make_room(&mut self, wanted: usize, now: i64) {
        if self.counts.len().saturating_add(wanted) <= MOST {
            return;
        }
        self.counts.retain(|_, count| now.saturating_sub(count.last) <= LASTS);
        if self.counts.len().saturating_add(wanted) > MOST {
            // A tenth at once, so that this is not done for each attempt.
            let mut times: Vec<i64> = self.counts.values().map(|count| count.last).collect();
            times.sort_unstable();
            let limit = times.get(MOST / 10).copied().unwrap_or(now);
            let mut surplus = MOST / 10;
            self.counts.retain(|_, count| {
                let goes = count.last <= limit && surplus > 0;
                surplus = surplus.saturating_sub(usize::from(goes));
                !goes
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn waits_double_up_to_their_longest() {
        let subject = Subject::UserFrom("u".into(), from("::1"));
        let waits: Vec<u64> = (0..12).map(|n| subject.wait_after(n)).collect();
        assert_eq!(waits, [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(Subject::User("u".into()).wait_after(u32::MAX), 60);
    }

    #[test]
    fn one_networks_failures_do_not_lock_the_user_out_elsewhere() {
        let mut attempts = Attempts::default();
        let (bad, good) =
            (Subject::all("u", from("10.0.0.1")), Subject::all("u", from("10.0.0.2")));
        for _ in 0..3 {
            attempts.begin(&bad, 100).unwrap();
        }
        assert_eq!(attempts.begin(&bad, 100), Err(2));
        attempts.begin(&good, 100).unwrap();
        attempts.succeeded(&good);
        // The user's own count began anew, that of the network that failed did not.
        assert_eq!(attempts.begin(&bad, 101), Err(1));
    }

    #[test]
    fn many_users_from_one_network_wait_too() {
        let mut attempts = Attempts::default();
        for n in 0..10 {
            attempts.begin(&Subject::all(&format!("u{n}"), from("2001:db8::1")), 100).unwrap();
        }
        let same_network = Subject::all("other", from("2001:db8::ffff"));
        assert_eq!(attempts.begin(&same_network, 100), Err(2));
        assert!(attempts.begin(&Subject::all("other", from("2001:db8:0:1::1")), 100).is_ok());
    }

    #[test]
    fn signing_in_oneself_does_not_pay_for_guessing_at_others() {
        let mut attempts = Attempts::default();
        for n in 0..10 {
            attempts.begin(&Subject::all(&format!("victim{n}"), from("10.0.0.1")), 100).unwrap();
            if n < 9 {
                let own = Subject::all("own", from("10.0.0.1"));
                attempts.begin(&own, 100).unwrap();
                attempts.succeeded(&own);
            }
        }
        assert!(attempts.begin(&Subject::all("victim", from("10.0.0.1")), 100).is_err());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_and_old_counts_end() {
        let mut attempts = Attempts::default();
        let subject = [Subject::UserFrom("u".into(), from("10.0.0.1"))];
        for _ in 0..3 {
            attempts.begin(&subject, 1_000_000).unwrap();
        }
        assert_eq!(attempts.begin(&subject, 10), Err(2));
        assert_eq!(attempts.begin(&subject, 12), Ok([4]));
        assert_eq!(attempts.begin(&subject, 12 + LASTS + 1), Ok([1]));
    }

    #[test]
    fn the_counts_are_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..30_000_u32 {
            let address = IpAddr::V4(n.into());
            let _ = attempts.begin(&Subject::all("u", address), i64::from(n));
            assert!(attempts.counts.len() <= MOST);
        }
    }
}

//! How often an address may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The most addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

/// A bucket for each address, refilled steadily (X-Road `IpThrottlingFilter`). Networks of IPv6 share
/// one, since whoever has one of their addresses has them all.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// What a bucket holds, and how much flows in during a minute.
    per_minute: u32,
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it will be full again.
    full: Instant,
}

impl RateLimit {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: HashMap::new() }
    }

    /// Takes one request of an address, if there is one left.
    pub(super) fn allows(&mut self, address: IpAddr, now: Instant) -> bool {
        let minute = Duration::from_secs(60);
        let one = minute / self.per_minute.max(1);
        let key = network(address);
        let full = self.buckets.get(&key).map_or(now, |bucket| bucket.full.max(now)) + one;
        if full > now + minute {
            return false;
        }
        if self.buckets.len() >= MAX_ADDRESSES && !self.buckets.contains_key(&key) {
            self.forget(now);
        }
        self.buckets.insert(key, Bucket { full });
        true
    }

    /// Makes room: a full bucket is as good as none; else the one that is full the soonest goes.
    fn forget(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| bucket.full > now);
        if self.buckets.len() >= MAX_ADDRESSES {
            let soonest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.full);
            if let Some(address) = soonest.map(|(address, _)| *address) {
                self.buckets.remove(&address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ten_a_minute() {
        let (mut limit, start) = (RateLimit::new(10), Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let taken = (0..20).filter(|_| limit.allows(one, start)).count();
        assert_eq!(taken, 10);
        assert!(limit.allows("192.0.2.2".parse().unwrap(), start));
        assert!(!limit.allows(one, start + Duration::from_secs(5)));
        assert!(limit.allows(one, start + Duration::from_secs(7)));
        assert!(!limit.allows(one, start + Duration::from_secs(7)));
        let later = start + Duration::from_secs(600);
        assert_eq!((0..20).filter(|_| limit.allows(one, later)).count(), 10);
    }

    #[test]
    fn neighbours_share_and_the_crowd_is_bounded() {
        let (mut limit, now) = (RateLimit::new(1), Instant::now());
        assert!(limit.allows("2001:db8::1".parse().unwrap(), now));
        assert!(!limit.allows("2001:db8::2".parse().unwrap(), now));
        for n in 0..(MAX_ADDRESSES as u32 + 500) {
            assert!(limit.allows(std::net::Ipv4Addr::from(n).into(), now));
        }
        assert!(limit.buckets.len() <= MAX_ADDRESSES);
    }
}

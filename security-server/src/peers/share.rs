//! How many messages may wait for one provider.
//!
//! A provider that answers slowly keeps every message that is sent to it in
//! flight. Without a bound, those of one provider would take all the places
//! that this server has, and messages to all others would find none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_identifiers::ClientId;

/// The share of all connections that messages to one provider may take.
const PART: usize = 4;
/// The least that a provider may have, however few connections there are.
const LEAST: usize = 16;

/// Counts the messages in flight, by provider.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    taken: Mutex<HashMap<ClientId, usize>>,
}

/// A message in flight, until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    provider: ClientId,
}

impl Shares {
    /// Each provider may have a quarter of so many connections, and at least 16.
    pub fn of(connections: usize) -> Arc<Self> {
        Arc::new(Self { most: (connections / PART).max(LEAST), taken: Mutex::default() })
    }

    /// One more message to this provider; `None` when as many as may are in flight.
    pub fn take(self: &Arc<Self>, provider: &ClientId) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(provider) {
            Some(count) if *count >= self.most => return None,
            Some(count) => *count += 1,
            None => {
                taken.insert(provider.clone(), 1);
            }
        }
        Some(Share { shares: Arc::clone(self), provider: provider.clone() })
    }

    /// How many messages to one provider may be in flight.
    pub fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.provider) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.provider);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_provider_leaves_places_to_others() {
        let shares = Shares::of(8);
        let slow = ClientId::new("DEV", "GOV", "1", Some("slow")).unwrap();
        let other = ClientId::new("DEV", "GOV", "1", Some("other")).unwrap();
        let mut held: Vec<Share> = (0..16).map(|_| shares.take(&slow).unwrap()).collect();
        assert!(shares.take(&slow).is_none());
        shares.take(&other).unwrap();
        held.pop();
        let again = shares.take(&slow).unwrap();
        assert!(shares.take(&slow).is_none());
        drop((held, again));
        assert!(shares.taken.lock().unwrap().is_empty());
        assert_eq!(Shares::of(5000).most(), 1250);
    }
}

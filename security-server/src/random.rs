//! Random bytes for what each message needs: boundaries and ids.
//!
//! They are the system's; each thread takes some hundred at once, since asking
//! for few is as expensive as asking for many. Keys have their own source.

use std::cell::RefCell;

use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

/// How many bytes are asked for at once.
const AT_ONCE: usize = 512;

struct Pool {
    bytes: [u8; AT_ONCE],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; AT_ONCE], used: AT_ONCE }) };
}

/// Bytes that nobody can guess and nobody else gets; at most 512. `None` when the system gives none.
pub(crate) fn bytes<const N: usize>() -> Option<[u8; N]> {
    POOL.with_borrow_mut(|pool| {
        if AT_ONCE - pool.used < N {
            pool.used = AT_ONCE;
            SystemRandom::new().fill(&mut pool.bytes).ok()?;
            pool.used = 0;
        }
        let taken = pool.bytes.get_mut(pool.used..pool.used + N)?;
        let mut out = [0; N];
        out.copy_from_slice(taken);
        taken.fill(0);
        pool.used += N;
        Some(out)
    })
}

/// A new id (RFC 9562, version 4).
pub(crate) fn id() -> Uuid {
    match bytes() {
        Some(random) => uuid::Builder::from_random_bytes(random).into_uuid(),
        None => Uuid::new_v4(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nothing_comes_twice() {
        let ids: HashSet<Uuid> = (0..1000).map(|_| id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        let boundaries: HashSet<_> = (0..1000).map(|_| bytes::<30>()).collect();
        assert!(boundaries.len() == 1000 && !boundaries.contains(&None));
        assert_eq!(bytes::<{ AT_ONCE + 1 }>(), None);
        assert!(bytes::<AT_ONCE>().is_some_and(|b| b.iter().any(|b| *b != 0)));
    }
}

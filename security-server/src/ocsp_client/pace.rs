//! When an OCSP response is fetched: decisions only, time comes in.

use std::time::Duration;

use causeway_globalconf::GlobalConf;
use causeway_pki::ocsp::{CertStatus, OcspPolicy, OcspResponse};
use time::OffsetDateTime;

use crate::health::work::after;
use crate::settings::OcspSettings;

/// How often responses are fetched, and how long they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one success to the next attempt.
    pub(super) interval: Duration,
    /// From the first failure to the next attempt; it doubles with each further failure.
    pub(super) retry: Duration,
    pub(super) policy: OcspPolicy,
}

/// What became of a certificate's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The last attempt; `None` before the first.
    pub(super) last: Option<OffsetDateTime>,
    /// Failures since the last success.
    pub(super) failures: u32,
}

/// The moments of a response that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moments {
    pub(super) this_update: OffsetDateTime,
    pub(super) next_update: Option<OffsetDateTime>,
}

impl From<&OcspResponse> for Moments {
    fn from(response: &OcspResponse) -> Self {
        Self { this_update: response.this_update(), next_update: response.next_update() }
    }
}

impl Pace {
    /// The pace that the operator and the global configuration ask for. However long the interval,
    /// a response is fetched anew before half its freshness is gone.
    pub(super) fn of(settings: &OcspSettings, conf: &GlobalConf) -> Self {
        let policy = conf.ocsp_policy();
        let interval = settings.fetch_interval.unwrap_or_else(|| conf.ocsp_fetch_interval());
        let second = Duration::from_secs(1);
        let interval = interval.min(policy.freshness / 2).max(second);
        Self { interval, retry: settings.retry.max(second), policy }
    }

    /// When to fetch; a moment in the past means at once.
    pub(super) fn due(&self, record: Record, held: Option<Moments>) -> OffsetDateTime {
        let Some(last) = record.last else { return OffsetDateTime::UNIX_EPOCH };
        if record.failures > 0 {
            return after(last, self.back_off(record.failures));
        }
        let regular = after(last, self.interval);
        let Some(held) = held else { return after(last, self.retry) };
        // Some responders make their responses long before they are asked for.
        let early = self.stale_at(held) - self.policy.freshness / 4;
        regular.min(early).max(after(last, self.retry.min(self.interval)))
    }

    fn back_off(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retry.saturating_mul(factor).min(self.interval.max(self.retry))
    }

    fn stale_at(&self, held: Moments) -> OffsetDateTime {
        let old = after(held.this_update, self.policy.freshness);
        match held.next_update {
            Some(next) if self.policy.verify_next_update => old.min(next),
            _ => old,
        }
    }
}

/// Whether a response that was found genuine and fresh takes the place of the one that is held. An
/// older one does not: somebody between us and the responder may be replaying it.
pub(super) fn replaces(held: Option<&OcspResponse>, new: &OcspResponse) -> bool {
    held.is_none_or(|held| newer(Moments::from(held), Moments::from(new)))
}

fn newer(held: Moments, new: Moments) -> bool {
    new.this_update >= held.this_update
}

/// Whether a status settles the matter. A responder that does not know a certificate may know it
/// soon, and another may know it now.
pub(super) fn is_final(status: CertStatus) -> bool {
    !matches!(status, CertStatus::Unknown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_000_000 + seconds).unwrap()
    }

    fn pace() -> Pace {
        Pace {
            interval: Duration::from_secs(1200),
            retry: Duration::from_secs(60),
            policy: OcspPolicy { freshness: Duration::from_secs(3600), verify_next_update: true },
        }
    }

    fn held(this_update: i64, next_update: Option<i64>) -> Option<Moments> {
        Some(Moments { this_update: at(this_update), next_update: next_update.map(at) })
    }

    fn after_success(last: i64) -> Record {
        Record { last: Some(at(last)), failures: 0 }
    }

    #[test]
    fn the_first_fetch_is_at_once() {
        assert_eq!(pace().due(Record::default(), held(0, None)), OffsetDateTime::UNIX_EPOCH);
    }

    #[test]
    fn a_fresh_response_waits_for_the_interval() {
        assert_eq!(pace().due(after_success(0), held(0, None)), at(1200));
        assert_eq!(pace().due(after_success(0), held(-10, Some(7200))), at(1200));
    }

    #[test]
    fn a_response_that_was_old_when_it_came_is_fetched_sooner() {
        // It goes stale at 600, and a quarter of the freshness before that is past.
        assert_eq!(pace().due(after_success(0), held(-3000, None)), at(60));
        // It goes stale at 1500.
        assert_eq!(pace().due(after_success(0), held(-2100, None)), at(600));
        assert_eq!(pace().due(after_success(0), held(0, Some(1000))), at(100));
        let lax =
            Pace { policy: OcspPolicy { verify_next_update: false, ..pace().policy }, ..pace() };
        assert_eq!(lax.due(after_success(0), held(0, Some(1000))), at(1200));
    }

    #[test]
    fn failures_back_off_up_to_the_interval() {
        let due = |failures| pace().due(Record { last: Some(at(0)), failures }, held(0, None));
        assert_eq!(due(1), at(60));
        assert_eq!(due(2), at(120));
        assert_eq!(due(5), at(960));
        assert_eq!(due(6), at(1200));
        assert_eq!(due(1000), at(1200));
    }

    #[test]
    fn an_older_response_does_not_replace() {
        let moments = |this_update| Moments { this_update: at(this_update), next_update: None };
        assert!(newer(moments(0), moments(0)));
        assert!(newer(moments(0), moments(1)));
        assert!(!newer(moments(1), moments(0)));
    }
}

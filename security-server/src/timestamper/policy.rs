//! When records are timestamped, how many at once, and how long failure is borne: decisions only,
//! time comes in (X-Road 7.8 `TaskQueue`, `TimestamperJob`, `LogManager`).

use std::time::Duration;

use causeway_globalconf::{ApprovedTsa, GlobalConf};
use time::OffsetDateTime;

use crate::health::work::after;
use crate::settings::TimestampingSettings;

/// The shortest interval that a global configuration can ask for.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
/// The longest one.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);
/// The shortest pause, whatever the operator's override.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The pause before the first attempt.
const FIRST: Duration = Duration::from_secs(1);
/// The most records under one timestamp, whatever the settings.
const MOST_RECORDS: usize = 100_000;

/// How often, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one success to the next attempt.
    pub(super) interval: Duration,
    /// From a failure to the next attempt.
    pub(super) retry: Duration,
    /// The most records under one timestamp.
    pub(super) limit: usize,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// So many records were stamped; none, when none waited.
    Stamped(usize),
    /// It failed.
    Failed,
}

impl Pace {
    /// The pace that the operator and the global configuration ask for. An operator may go below
    /// the protocol's bounds, the global configuration may not.
    pub(super) fn of(settings: &TimestampingSettings, conf: Option<&GlobalConf>) -> Self {
        let asked = conf.map_or(SHORTEST_INTERVAL, GlobalConf::timestamping_interval);
        Self::new(settings, asked)
    }

    fn new(settings: &TimestampingSettings, asked: Duration) -> Self {
        let interval = match settings.interval {
            Some(own) => own.clamp(SHORTEST_PAUSE, LONGEST_INTERVAL),
            None => asked.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
        };
        let retry = settings.retry.max(SHORTEST_PAUSE).min(interval);
        Self { interval, retry, limit: settings.records_limit.clamp(1, MOST_RECORDS) }
    }

    /// The pause before the first attempt.
    pub(super) fn first(&self) -> Duration {
        FIRST.min(self.interval)
    }

    /// How many records the next attempt may take: while attempts fail, one alone, so that no
    /// work is lost on a service that does not answer.
    pub(super) fn amount(&self, failing: bool) -> usize {
        if failing { 1 } else { self.limit }
    }

    /// The pause after an attempt. The first success after failures, and a full timestamp, are
    /// followed by the next attempt at once.
    pub(super) fn after(&self, was_failing: bool, outcome: Outcome) -> Duration {
        match outcome {
            Outcome::Failed => self.retry,
            Outcome::Stamped(0) => self.interval,
            Outcome::Stamped(count) if was_failing || count >= self.limit => Duration::ZERO,
            Outcome::Stamped(_) => self.interval,
        }
    }

    /// Whether so many records mean that the next attempts may not keep up (from 70 % of the limit).
    pub(super) fn is_crowded(&self, records: usize) -> bool {
        self.limit > 1 && records.saturating_mul(10) >= self.limit.saturating_mul(7)
    }
}

/// Whether timestamping has failed for longer than is acceptable; zero accepts any time.
pub(super) fn is_over(
    failing_since: OffsetDateTime,
    acceptable: Duration,
    now: OffsetDateTime,
) -> bool {
    !acceptable.is_zero() && now > after(failing_since, acceptable)
}

/// The services to ask, in order: those that the operator names, by name or address, as far as
/// they are approved in the own instance; all that are, when none are named.
pub(super) fn services<'a>(
    conf: &'a GlobalConf,
    wanted: &'a [String],
) -> impl Iterator<Item = &'a ApprovedTsa> {
    let approved = conf.approved_tsas(conf.instance());
    let all = wanted.is_empty().then_some(approved).into_iter().flatten();
    let position = |tsa: &ApprovedTsa| wanted.iter().position(|w| is_called(tsa, w));
    let named = wanted.iter().enumerate().flat_map(move |(place, name)| {
        // One that is named twice, once by name and once by address, is asked once.
        approved.iter().filter(move |tsa| is_called(tsa, name) && position(tsa) == Some(place))
    });
    all.chain(named)
}

/// The services that the operator names and that are not approved.
pub(super) fn unapproved<'a>(conf: &'a GlobalConf, wanted: &'a [String]) -> Vec<&'a str> {
    let approved = conf.approved_tsas(conf.instance());
    let unknown = |name: &&String| !approved.iter().any(|tsa| is_called(tsa, name));
    wanted.iter().filter(unknown).map(String::as_str).collect()
}

fn is_called(tsa: &ApprovedTsa, name: &str) -> bool {
    tsa.url == name || tsa.name == name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn settings(interval: Option<Duration>, retry: Duration, limit: usize) -> TimestampingSettings {
        TimestampingSettings {
            services: Vec::new(),
            acceptable_failure: s(14_400),
            interval,
            retry,
            records_limit: limit,
            connect_timeout: s(20),
            read_timeout: s(60),
        }
    }

    fn pace(interval: Option<Duration>, retry: Duration, asked: Duration) -> Pace {
        Pace::new(&settings(interval, retry, 10_000), asked)
    }

    #[test]
    fn the_interval_is_bounded_unless_the_operator_sets_it() {
        assert_eq!(pace(None, s(60), s(1)).interval, s(60));
        assert_eq!(pace(None, s(60), s(3600)).interval, s(3600));
        assert_eq!(pace(None, s(60), s(1 << 40)).interval, s(86_400));
        assert_eq!(pace(Some(s(2)), s(60), s(3600)).interval, s(2));
        assert_eq!(pace(Some(Duration::ZERO), s(60), s(3600)).interval, SHORTEST_PAUSE);
        assert_eq!(pace(Some(Duration::MAX), s(60), s(60)).interval, s(86_400));
    }

    #[test]
    fn a_retry_comes_no_later_than_the_regular_attempt() {
        assert_eq!(pace(None, s(60), s(3600)).retry, s(60));
        assert_eq!(pace(None, s(600), s(60)).retry, s(60));
        assert_eq!(pace(Some(s(2)), s(60), s(60)).retry, s(2));
        assert_eq!(pace(None, Duration::ZERO, s(60)).retry, SHORTEST_PAUSE);
    }

    #[test]
    fn one_record_while_failing_all_otherwise() {
        let pace = Pace::new(&settings(None, s(60), 500), s(120));
        assert_eq!((pace.amount(false), pace.amount(true)), (500, 1));
        assert_eq!(Pace::new(&settings(None, s(60), 0), s(120)).amount(false), 1);
        assert_eq!(pace.after(false, Outcome::Failed), s(60));
        assert_eq!(pace.after(true, Outcome::Failed), s(60));
        assert_eq!(pace.after(true, Outcome::Stamped(1)), Duration::ZERO);
        assert_eq!(pace.after(true, Outcome::Stamped(0)), s(120));
        assert_eq!(pace.after(false, Outcome::Stamped(500)), Duration::ZERO);
        assert_eq!(pace.after(false, Outcome::Stamped(499)), s(120));
        assert!(pace.is_crowded(350) && !pace.is_crowded(349));
    }

    #[test]
    fn failure_is_borne_for_the_acceptable_period() {
        let since = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        assert!(!is_over(since, s(100), since));
        assert!(!is_over(since, s(100), since + s(100)));
        assert!(is_over(since, s(100), since + s(101)));
        assert!(!is_over(since, Duration::ZERO, since + s(1 << 30)));
        assert!(!is_over(since, Duration::MAX, since + s(1 << 30)));
        // A clock that was set back.
        assert!(!is_over(since, s(100), since - s(1000)));
    }
}

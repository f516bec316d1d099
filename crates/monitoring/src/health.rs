//! How the services of this server's clients did lately (`pr-opmon` 3).
//!
//! Counted from the records of the producer's side, in a window that slides: X-Road keeps every
//! value of the window, here a window is [`SLICES`] slices of counters, so that memory does not grow
//! with traffic. What leaves the window leaves it a slice at a time.

use std::collections::{BTreeMap, VecDeque};

use causeway_identifiers::{ClientId, ServiceId};

use crate::{Record, ServerType};

/// Of how many slices a window is made.
pub const SLICES: u64 = 60;
/// How many services are counted. Who asks for more that do not exist gets no memory of ours.
pub const MAX_SERVICES: usize = 10_000;

/// The health of the services.
#[derive(Debug)]
pub struct Health {
    period: u64,
    services: BTreeMap<ServiceId, Counted>,
    uncounted: u64,
}

#[derive(Debug, Default)]
struct Counted {
    last_successful: Option<u64>,
    last_unsuccessful: Option<u64>,
    kind: Option<String>,
    slices: VecDeque<Slice>,
}

#[derive(Debug, Default, Clone)]
struct Slice {
    number: u64,
    successful: u64,
    unsuccessful: u64,
    duration: Spread,
    request: Spread,
    response: Spread,
}

/// The health of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceHealth {
    /// Which service.
    pub service: ServiceId,
    /// When the last request that went well was answered, in milliseconds since 1970.
    pub last_successful: Option<u64>,
    /// When the last request that did not go well was answered, in milliseconds since 1970.
    pub last_unsuccessful: Option<u64>,
    /// `WSDL`, `REST` or `OPENAPI3`.
    pub kind: Option<String>,
    /// How many requests of the period went well.
    pub successful: u64,
    /// How many did not.
    pub unsuccessful: u64,
    /// Milliseconds from a request's coming in to the answer's going out, of those that went well.
    pub duration: Spread,
    /// Bytes of the requests that went well.
    pub request: Spread,
    /// Bytes of the answers to them.
    pub response: Spread,
}

/// Count, least, most, mean and spread of numbers that are not kept (Welford's method).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spread {
    count: u64,
    least: u64,
    most: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Adds a number.
    pub fn add(&mut self, value: u64) {
        let one = Self { count: 1, least: value, most: value, mean: value as f64, squares: 0.0 };
        self.merge(&one);
    }

    /// Adds all numbers of another.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + apart * apart * self.count as f64 * share;
        self.mean += apart * share;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.count = count;
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least.
    pub fn least(&self) -> u64 {
        self.least
    }

    /// The most.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard deviation of a sample, as X-Road's: 0 of fewer than two.
    pub fn deviation(&self) -> f64 {
        if self.count < 2 { 0.0 } else { (self.squares / (self.count - 1) as f64).sqrt() }
    }
}

impl Health {
    /// Counts over a period of so many seconds, at least one.
    pub fn new(period_seconds: u64) -> Self {
        Self { period: period_seconds.max(1), services: BTreeMap::new(), uncounted: 0 }
    }

    /// The period, in seconds.
    pub fn period_seconds(&self) -> u64 {
        self.period
    }

    /// How many records were of services beyond [`MAX_SERVICES`], since the last call.
    pub fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// Counts a record at a time, in milliseconds since 1970. Only those of the producer's side, with
    /// a service, count.
    pub fn count(&mut self, record: &Record, now_ms: u64) {
        if record.security_server_type != ServerType::Producer {
            return;
        }
        let Some(service) = service_of(record) else { return };
        if self.services.len() >= MAX_SERVICES && !self.services.contains_key(&service) {
            self.uncounted += 1;
            return;
        }
        let number = self.slice_number(now_ms);
        let counted = self.services.entry(service).or_default();
        counted.kind.clone_from(&record.service_type);
        forget(&mut counted.slices, number);
        // A clock that went back goes on in the latest slice.
        if counted.slices.back().is_none_or(|last| last.number < number) {
            counted.slices.push_back(Slice { number, ..Slice::default() });
        }
        let Some(slice) = counted.slices.back_mut() else { return };
        if record.succeeded {
            counted.last_successful = Some(record.response_out_ts);
            slice.successful += 1;
            slice.duration.add(record.duration());
            record.request_size.into_iter().for_each(|size| slice.request.add(size));
            record.response_size.into_iter().for_each(|size| slice.response.add(size));
        } else {
            counted.last_unsuccessful = Some(record.response_out_ts);
            slice.unsuccessful += 1;
        }
    }

    /// The health of all services, or of those of one provider, at a time in milliseconds since 1970.
    pub fn of(&self, provider: Option<&ClientId>, now_ms: u64) -> Vec<ServiceHealth> {
        let number = self.slice_number(now_ms);
        self.services
            .iter()
            .filter(|(service, _)| provider.is_none_or(|p| p == service.client()))
            .map(|(service, counted)| counted.health(service, number))
            .collect()
    }

    fn slice_number(&self, now_ms: u64) -> u64 {
        // Period and slices in milliseconds: a period of a second has slices too.
        now_ms / (self.period * 1000 / SLICES).max(1)
    }
}

impl Counted {
    fn health(&self, service: &ServiceId, number: u64) -> ServiceHealth {
        let mut health = ServiceHealth {
            service: service.clone(),
            last_successful: self.last_successful,
            last_unsuccessful: self.last_unsuccessful,
            kind: self.kind.clone(),
            successful: 0,
            unsuccessful: 0,
            duration: Spread::default(),
            request: Spread::default(),
            response: Spread::default(),
        };
        for slice in self.slices.iter().filter(|s| s.number + SLICES > number) {
            health.successful += slice.successful;
            health.unsuccessful += slice.unsuccessful;
            health.duration.merge(&slice.duration);
            health.request.merge(&slice.request);
            health.response.merge(&slice.response);
        }
        health
    }
}

fn forget(slices: &mut VecDeque<Slice>, number: u64) {
    while slices.front().is_some_and(|s| s.number + SLICES <= number) {
        slices.pop_front();
    }
}

fn service_of(record: &Record) -> Option<ServiceId> {
    let text = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
    let client = ClientId::new(
        &text(&record.service_x_road_instance)?,
        &text(&record.service_member_class)?,
        &text(&record.service_member_code)?,
        text(&record.service_subsystem_code).as_deref(),
    )
    .ok()?;
    client.service(&text(&record.service_code)?, text(&record.service_version).as_deref()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn record(code: &str, succeeded: bool, took: u64) -> Record {
        let service = ClientId::parse("DEV/GOV/1/sub").unwrap().service(code, None).unwrap();
        let mut record = Record::begin(ServerType::Producer, 1000);
        record.set_service(&service);
        record.response_out_ts = 1000 + took;
        record.request_size = Some(took * 10);
        record.succeeded = succeeded;
        record
    }

    #[test]
    fn what_leaves_the_window_is_not_counted_but_when_it_was_is_remembered() {
        let mut health = Health::new(600);
        health.count(&record("a", true, 20), 0);
        health.count(&record("a", true, 40), 1_000);
        health.count(&record("a", false, 5), 300_000);
        health.count(&record("b", true, 1), 300_000);
        let mut client_side = record("c", true, 1);
        client_side.security_server_type = ServerType::Client;
        health.count(&client_side, 300_000);

        let at = |ms| health.of(None, ms).into_iter().find(|s| s.service.code() == "a").unwrap();
        let early = at(300_000);
        assert_eq!((early.successful, early.unsuccessful), (2, 1));
        assert_eq!((early.duration.least(), early.duration.most()), (20, 40));
        assert_eq!(early.duration.mean(), 30.0);
        assert!((early.duration.deviation() - 14.142).abs() < 0.001);
        assert_eq!(early.request.most(), 400);
        assert_eq!(early.response.count(), 0);
        let later = at(700_000);
        assert_eq!((later.successful, later.unsuccessful), (0, 1));
        assert_eq!(later.last_successful, Some(1040));
        assert_eq!(later.last_unsuccessful, Some(1005));
        assert_eq!(health.of(None, 0).len(), 2, "the client's side is not counted");
        let other = ClientId::parse("DEV/GOV/1").unwrap();
        assert!(health.of(Some(&other), 0).is_empty(), "a member is not its subsystem");
    }

    #[test]
    fn services_that_do_not_exist_do_not_fill_the_memory() {
        let mut health = Health::new(60);
        for i in 0..MAX_SERVICES + 3 {
            health.count(&record(&format!("s{i}"), false, 1), 0);
        }
        assert_eq!(health.of(None, 0).len(), MAX_SERVICES);
        assert_eq!(health.take_uncounted(), 3);
    }

    proptest! {
        #[test]
        fn the_spread_is_that_of_the_numbers(values in prop::collection::vec(0_u64..1_000_000, 2..50), cut in 0_usize..50) {
            let cut = cut.min(values.len());
            let (mut all, mut rest) = (Spread::default(), Spread::default());
            values[..cut].iter().for_each(|v| all.add(*v));
            values[cut..].iter().for_each(|v| rest.add(*v));
            all.merge(&rest);
            let n = values.len() as f64;
            let mean = values.iter().sum::<u64>() as f64 / n;
            let deviation = (values.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            prop_assert_eq!(all.least(), *values.iter().min().unwrap());
            prop_assert_eq!(all.most(), *values.iter().max().unwrap());
            prop_assert!((all.mean() - mean).abs() < 1e-3);
            prop_assert!((all.deviation() - deviation).abs() < 1e-3);
        }
    }
}

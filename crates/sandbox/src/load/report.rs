use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Outcome, Plan};

/// The figures of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was asked, and where.
    pub target: String,
    /// With which method.
    pub method: String,
    /// The kind of the members' keys; absent for a foreign target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Over how many connections.
    pub connections: usize,
    /// For how long it was counted.
    pub seconds: f64,
    /// How many exchanges ended well.
    pub exchanges: u64,
    /// How many a second.
    pub exchanges_per_second: f64,
    /// How many failed, by error code.
    pub errors: BTreeMap<String, u64>,
    /// The mean size of an answer's body, in bytes.
    pub body_bytes: f64,
    /// How long exchanges took.
    pub latency_ms: Latency,
    /// Processor time of this process, all of the ecosystem with the driver, for each exchange.
    pub cpu_ms_per_exchange: Option<f64>,
    /// The driver's share of it.
    pub driver_cpu_ms_per_exchange: Option<f64>,
    /// Resident memory of this process at the end, in MB (10^6 bytes).
    pub memory_mb: Option<f64>,
    /// The most during the measurement.
    pub memory_peak_mb: Option<f64>,
}

/// Quantiles of durations, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Half take no longer.
    pub p50: f64,
    /// 99 in 100 take no longer.
    pub p99: f64,
    /// 999 in 1000 take no longer.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Report {
    /// The figures of an outcome.
    pub fn new(plan: &Plan, key: Option<String>, outcome: &Outcome) -> Self {
        let exchanges = outcome.latency.count();
        let seconds = outcome.elapsed.as_secs_f64();
        let each = |total: f64| if exchanges == 0 { 0.0 } else { total / float(exchanges) };
        let cpu = |time: Duration| round(each(time.as_secs_f64() * 1000.0));
        let megabytes = |bytes: u64| round(float(bytes) / 1e6);
        let latency = |share| millis(outcome.latency.quantile(share));
        Self {
            target: plan.target.to_string(),
            method: plan.method.to_string(),
            key,
            connections: plan.connections,
            seconds: round(seconds),
            exchanges,
            exchanges_per_second: round(float(exchanges) / seconds.max(1e-9)),
            errors: outcome.errors.clone(),
            body_bytes: round(each(float(outcome.received))),
            latency_ms: Latency {
                p50: latency(0.5),
                p99: latency(0.99),
                p999: latency(0.999),
                max: millis(outcome.latency.max()),
                mean: millis(outcome.latency.mean()),
            },
            cpu_ms_per_exchange: outcome.cpu.map(cpu),
            driver_cpu_ms_per_exchange: outcome.driver_cpu.map(cpu),
            memory_mb: outcome.memory.map(|memory| megabytes(memory.resident)),
            memory_peak_mb: outcome.memory.map(|memory| megabytes(memory.peak)),
        }
    }

    /// How many exchanges failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn millis(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1000.0)
}

/// Three digits behind the point are more than a measurement has.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

// Counts are far below 2^52, so nothing is lost.
fn float(count: u64) -> f64 {
    count as f64
}

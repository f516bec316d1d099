//! What a server says of its machine: `getSecurityServerMetrics` (X-Road's environmental monitoring,
//! `monitoring.xsd`). The names are X-Road's, so that collectors know them.

use causeway_xml::Writer;

use crate::request::{ENVIRONMENT_NS, MetricsQuery};
use crate::view::MetricsView;

/// A metric, or a set of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// A text.
    Text(String, String),
    /// A whole number.
    Number(String, u64),
    /// What was measured again and again.
    Histogram(String, Histogram),
    /// Metrics under a common name.
    Set(String, Vec<Metric>),
}

/// The distribution of what was measured lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// When it was made, as `xs:dateTime` in UTC.
    pub updated: String,
    /// The least value.
    pub min: u64,
    /// The greatest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// The standard deviation.
    pub stddev: f64,
}

impl Histogram {
    /// The distribution of values; `None` of none.
    pub fn of(values: impl IntoIterator<Item = u64>, updated: String) -> Option<Self> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let (min, max) = (*values.first()?, *values.last()?);
        let mut spread = crate::Spread::default();
        values.iter().for_each(|v| spread.add(*v));
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] as f64 + values[middle] as f64) / 2.0,
            _ => values[middle] as f64,
        };
        Some(Self { updated, min, max, mean: spread.mean(), median, stddev: spread.deviation() })
    }
}

/// Name of the set of certificates.
pub const CERTIFICATES: &str = "Certificates";
/// Name of the operating system's description.
pub const OPERATING_SYSTEM: &str = "OperatingSystem";

/// A certificate of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateMetric {
    /// SHA-256 of the DER form. The metric is called `sha1Hash` for history's sake: X-Road's holds SHA-256 too.
    pub hash: Vec<u8>,
    /// Begin of validity, as `2026-01-31T12:00:00Z`.
    pub not_before: String,
    /// End of validity.
    pub not_after: String,
    /// What it is for.
    pub kind: CertificateKind,
    /// Whether it is in use.
    pub active: bool,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// Authentication towards other servers, or signing.
    AuthOrSign,
    /// The server's own, towards information systems.
    ServerTls,
    /// An information system's.
    ClientTls,
}

/// The set of certificates.
pub fn certificates(certificates: &[CertificateMetric]) -> Metric {
    let sets = certificates.iter().map(|c| {
        let octets: Vec<String> = c.hash.iter().map(|b| format!("{b:02X}")).collect();
        let hash = octets.join(":");
        let kind = match c.kind {
            CertificateKind::AuthOrSign => "AUTH_OR_SIGN",
            CertificateKind::ServerTls => "SECURITY_SERVER_TLS",
            CertificateKind::ClientTls => "INTERNAL_IS_CLIENT_TLS",
        };
        let text = |name: &str, value: &str| Metric::Text(name.into(), value.into());
        let parts = vec![
            text("sha1Hash", &hash),
            text("notBefore", &c.not_before),
            text("notAfter", &c.not_after),
            text("certificateType", kind),
            text("active", if c.active { "true" } else { "false" }),
        ];
        Metric::Set(format!("certificate-{hash}"), parts)
    });
    Metric::Set(CERTIFICATES.into(), sets.collect())
}

impl Metric {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Text(name, _)
            | Self::Number(name, _)
            | Self::Histogram(name, _)
            | Self::Set(name, _) => name,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Text(name, value) => {
                w.start("m:stringMetric", &[]);
                w.element("m:name", &[], name).element("m:value", &[], value).end();
            }
            Self::Number(name, value) => {
                w.start("m:numericMetric", &[]);
                w.element("m:name", &[], name).element("m:value", &[], &value.to_string()).end();
            }
            Self::Histogram(name, histogram) => {
                w.start("m:histogramMetric", &[]);
                w.element("m:name", &[], name).element("m:updated", &[], &histogram.updated);
                for (name, value) in
                    [("m:min", histogram.min.to_string()), ("m:max", histogram.max.to_string())]
                {
                    w.element(name, &[], &value);
                }
                for (name, value) in [
                    ("m:mean", histogram.mean),
                    ("m:median", histogram.median),
                    ("m:stddev", histogram.stddev),
                ] {
                    // `xs:decimal` has no exponent, and neither has Rust's `Display`.
                    w.element(name, &[], &value.to_string());
                }
                w.end();
            }
            Self::Set(name, metrics) => {
                w.start("m:metricSet", &[]);
                w.element("m:name", &[], name);
                metrics.iter().for_each(|m| m.write(w));
                w.end();
            }
        }
    }
}

/// The body of the answer: of all metrics those that are asked for and may be seen. `server` is the
/// server's id, as `SERVER:INSTANCE/CLASS/CODE/SERVER`.
pub fn metrics_response(
    server: &str,
    version: &str,
    metrics: Vec<Metric>,
    query: &MetricsQuery,
    view: MetricsView,
) -> String {
    let seen = |name: &str| match view {
        MetricsView::Everything => true,
        MetricsView::Limited => matches!(name, CERTIFICATES | OPERATING_SYSTEM),
    };
    let metrics: Vec<Metric> = metrics
        .into_iter()
        .filter(|m| query.wants(m.name()) && seen(m.name()))
        // The schema has no set without metrics.
        .filter(|m| !matches!(m, Metric::Set(_, metrics) if metrics.is_empty()))
        .collect();
    let mut root = vec![Metric::Text("proxyVersion".into(), version.into())];
    if !metrics.is_empty() {
        root.push(Metric::Set("systemMetrics".into(), metrics));
    }
    let mut w = Writer::new();
    w.start("m:getSecurityServerMetricsResponse", &[("xmlns:m", ENVIRONMENT_NS)]);
    Metric::Set(server.into(), root).write(&mut w);
    w.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_asked_for_and_may_be_seen() {
        let metrics = || {
            vec![
                Metric::Text(OPERATING_SYSTEM.into(), "Linux".into()),
                Metric::Number("TotalPhysicalMemory".into(), 5),
                certificates(&[]),
            ]
        };
        let all = MetricsQuery { names: Vec::new() };
        let show =
            |query: &MetricsQuery, view| metrics_response("SERVER:a", "1", metrics(), query, view);
        let full = show(&all, MetricsView::Everything);
        assert!(full.contains("<m:value>5</m:value>") && full.contains("Linux"));
        assert!(!full.contains(CERTIFICATES), "an empty set is not valid");
        let limited = show(&all, MetricsView::Limited);
        assert!(!limited.contains("TotalPhysicalMemory") && limited.contains("Linux"));
        let nothing = MetricsQuery { names: vec!["other".into()] };
        assert!(!show(&nothing, MetricsView::Everything).contains("systemMetrics"));
    }

    #[test]
    fn distributions() {
        let histogram = Histogram::of([3, 1, 2, 10], "now".into()).unwrap();
        assert_eq!((histogram.min, histogram.max), (1, 10));
        assert_eq!((histogram.mean, histogram.median), (4.0, 2.5));
        assert_eq!(Histogram::of([], "now".into()), None);
    }
}

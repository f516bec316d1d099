//! The answers: what goes into the SOAP body, and the records beside it.

use std::io::{self, Write as _};

use causeway_identifiers::ServiceId;
use causeway_message::soap::IDENTIFIER_NS;
use causeway_xml::Writer;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::request::OPERATIONAL_NS;
use crate::{Fields, Record, ServiceHealth, Shown, Spread};

/// The content id of the records (without `cid:` and angle brackets).
pub const RECORDS_ID: &str = "operational-monitoring-data.json.gz";
/// The media type of the records.
pub const RECORDS_TYPE: &str = "application/gzip";

/// The records as an attachment: JSON, `{"records":[…]}`, compressed. Fields that are not known are left out.
///
/// # Errors
/// None that a memory buffer has; they would be passed on.
pub fn records(records: &[Record], fields: Fields) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(b"{\"records\":[")?;
    let mut object = Vec::new();
    for (i, record) in records.iter().enumerate() {
        object.clear();
        if i > 0 {
            object.push(b',');
        }
        object.push(b'{');
        let mut first = true;
        for field in fields.iter() {
            let Some(value) = record.value(field) else { continue };
            if !std::mem::take(&mut first) {
                object.push(b',');
            }
            write!(object, "\"{}\":", field.name())?;
            match value {
                Shown::Text(text) => serde_json::to_writer(&mut object, text)?,
                Shown::Number(number) => write!(object, "{number}")?,
                Shown::Truth(truth) => write!(object, "{truth}")?,
            }
        }
        object.push(b'}');
        out.write_all(&object)?;
    }
    out.write_all(b"]}")?;
    out.finish()
}

/// The body of the answer to a question for records, which are beside it as [`RECORDS_ID`].
pub fn operational_data(count: usize, next_from: Option<u64>) -> String {
    let mut w = Writer::new();
    w.start("om:getSecurityServerOperationalDataResponse", &[("xmlns:om", OPERATIONAL_NS)]);
    w.element("om:recordsCount", &[], &whole(count as u64));
    w.element("om:records", &[], &format!("cid:{RECORDS_ID}"));
    if let Some(next) = next_from {
        w.element("om:nextRecordsFrom", &[], &next.to_string());
    }
    w.finish()
}

/// The body of the answer to a question for health: when counting began (milliseconds since 1970), over how many
/// seconds it goes, and the services.
pub fn health_data(started_ms: u64, period_seconds: u64, services: &[ServiceHealth]) -> String {
    let mut w = Writer::new();
    let namespaces = [("xmlns:om", OPERATIONAL_NS), ("xmlns:id", IDENTIFIER_NS)];
    w.start("om:getSecurityServerHealthDataResponse", &namespaces);
    w.element("om:monitoringStartupTimestamp", &[], &started_ms.to_string());
    w.element("om:statisticsPeriodSeconds", &[], &whole(period_seconds));
    w.start("om:servicesEvents", &[]);
    for service in services {
        service_events(&mut w, service);
    }
    w.finish()
}

fn service_events(w: &mut Writer, health: &ServiceHealth) {
    w.start("om:serviceEvents", &[]);
    service_id(w, &health.service);
    let mut optional = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            w.element(name, &[], &value);
        }
    };
    let shown = |time: Option<u64>| time.map(|t| t.to_string());
    optional("om:lastSuccessfulRequestTimestamp", shown(health.last_successful));
    optional("om:lastUnsuccessfulRequestTimestamp", shown(health.last_unsuccessful));
    optional("om:serviceType", health.kind.clone());
    w.start("om:lastPeriodStatistics", &[]);
    w.element("om:successfulRequestCount", &[], &whole(health.successful));
    w.element("om:unsuccessfulRequestCount", &[], &whole(health.unsuccessful));
    spread(w, "request", "Duration", &health.duration);
    spread(w, "request", "Size", &health.request);
    spread(w, "response", "Size", &health.response);
    w.end();
    w.end();
}

fn spread(w: &mut Writer, of: &str, what: &str, spread: &Spread) {
    if spread.count() == 0 {
        return;
    }
    w.element(&format!("om:{of}Min{what}"), &[], &spread.least().to_string());
    w.element(&format!("om:{of}Average{what}"), &[], &format!("{:?}", spread.mean()));
    w.element(&format!("om:{of}Max{what}"), &[], &spread.most().to_string());
    w.element(&format!("om:{of}{what}StdDev"), &[], &format!("{:?}", spread.deviation()));
}

fn service_id(w: &mut Writer, service: &ServiceId) {
    let provider = service.client();
    w.start("om:service", &[("id:objectType", "SERVICE")]);
    w.element("id:xRoadInstance", &[], provider.instance());
    w.element("id:memberClass", &[], provider.member().class());
    w.element("id:memberCode", &[], provider.member().code());
    if let Some(subsystem) = provider.subsystem_code() {
        w.element("id:subsystemCode", &[], subsystem);
    }
    w.element("id:serviceCode", &[], service.code());
    if let Some(version) = service.version() {
        w.element("id:serviceVersion", &[], version);
    }
    w.end();
}

/// `xs:int`.
fn whole(number: u64) -> String {
    i32::try_from(number).unwrap_or(i32::MAX).to_string()
}

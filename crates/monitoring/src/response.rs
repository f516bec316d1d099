//! The answers: what goes into the SOAP body, and the records beside it.

use std::io::{self, Write as _};

use causeway_identifiers::ServiceId;
use causeway_message::soap::{ENVELOPE_NS, IDENTIFIER_NS};
use causeway_message::{Fault, codes};
use causeway_xml::{Event, Events, Limits, Writer};
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

/// The envelope of an answer: the request's, with this element in its body in place of the question,
/// and its header as it is (X-Road's `SoapUtils.toResponse`; the request's hash is added by whoever sends it).
///
/// # Errors
/// `client.invalid_request` for a request that is not UTF-8, not well-formed, or has no body.
pub fn envelope(request: &[u8], body: &str) -> Result<String, Fault> {
    let refused =
        |text: String| Fault::new(codes::INVALID_REQUEST, text).with_prefix(codes::CLIENT);
    let text = std::str::from_utf8(request)
        .map_err(|_| refused("The question is not in UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let failed = |e: causeway_xml::XmlError| refused(e.to_string());
    let mut events = Events::new(text, &Limits::default()).map_err(failed)?;
    let (mut depth, mut begin, mut end) = (0_usize, None, None);
    while let Some(event) = events.next_event().map_err(failed)? {
        match event {
            Event::Start { name, at, .. } => {
                depth += 1;
                if depth == 2 && name.is(ENVELOPE_NS, "Body") {
                    begin = Some(at.end);
                }
            }
            Event::End { at } => {
                if depth == 2 && begin.is_some() && end.is_none() {
                    end = Some(at.start);
                }
                depth = depth.saturating_sub(1);
            }
            Event::Text { .. } => {}
        }
    }
    let parts = begin
        .zip(end)
        .filter(|(begin, end)| begin <= end)
        .and_then(|(begin, end)| Some((text.get(..begin)?, text.get(end..)?)));
    let (before, after) = parts.ok_or_else(|| refused("The question has no body".to_owned()))?;
    Ok(format!("{before}{body}{after}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_answer_keeps_the_requests_header() {
        let request = |body: &str| {
            format!(
                "<e:Envelope xmlns:e=\"{ENVELOPE_NS}\">\n<e:Header><a> x</a></e:Header>{body}</e:Envelope>"
            )
        };
        let asked = request("<e:Body> <q><e:Body/></q>\n</e:Body>");
        let answer = envelope(asked.as_bytes(), "<a:b/>").unwrap();
        assert_eq!(answer, request("<e:Body><a:b/></e:Body>"));
        for wrong in [request(""), request("<e:Body/>"), "<a".to_owned()] {
            assert_eq!(
                envelope(wrong.as_bytes(), "").unwrap_err().code(),
                "client.invalid_request"
            );
        }
    }
}

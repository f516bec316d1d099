//! What clients ask: the bodies of `getSecurityServerOperationalData`, `getSecurityServerHealthData`
//! and `getSecurityServerMetrics`.
//!
//! The first two are held to X-Road's schema (`op-monitoring.xsd`), as X-Road does; the third is
//! read as X-Road reads it, which looks for `outputField` wherever it is.

use causeway_identifiers::ClientId;
use causeway_message::soap::{ENVELOPE_NS, IDENTIFIER_NS};
use causeway_message::{Fault, codes};
use causeway_xml::{Document, Element, Limits};

use crate::field::repeated;
use crate::{Field, Fields, Search};

/// Namespace of operational monitoring.
pub const OPERATIONAL_NS: &str = "http://x-road.eu/xsd/op-monitoring.xsd";
/// Namespace of environmental monitoring.
pub const ENVIRONMENT_NS: &str = "http://x-road.eu/xsd/monitoring";

/// Service code of the question for records.
pub const OPERATIONAL_DATA: &str = "getSecurityServerOperationalData";
/// Service code of the question for the health of services.
pub const HEALTH_DATA: &str = "getSecurityServerHealthData";
/// Service code of the question for the server's own metrics.
pub const METRICS: &str = "getSecurityServerMetrics";

/// The most names of metrics that one question has.
const MAX_METRIC_NAMES: usize = 1000;

fn limits() -> Limits {
    Limits { max_bytes: 1 << 20, max_elements: 10_000, ..Limits::default() }
}

fn invalid(text: impl Into<String>) -> Fault {
    Fault::new(codes::INVALID_REQUEST, text).with_prefix(codes::CLIENT)
}

/// A question for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationalQuery {
    /// The first second, since 1970.
    pub from: i64,
    /// The last second, itself included.
    pub to: i64,
    /// Only records in which this client is asked.
    pub provider: Option<ClientId>,
    /// The fields wanted; none means all.
    pub fields: Fields,
}

impl OperationalQuery {
    /// Reads a SOAP message.
    ///
    /// # Errors
    /// `client.invalid_request` for what does not follow the schema, or names a field that does not exist.
    pub fn parse(soap: &[u8]) -> Result<Self, Fault> {
        let document = Document::parse(soap, &limits()).map_err(|e| invalid(e.to_string()))?;
        let operation = operation(&document, OPERATIONAL_DATA)?;
        let mut parts = Parts::of(operation);
        let mut criteria = Parts::of(parts.required("searchCriteria")?);
        let from = seconds(criteria.required("recordsFrom")?)?;
        let to = seconds(criteria.required("recordsTo")?)?;
        let provider = criteria.optional("client").map(client).transpose()?;
        criteria.end()?;
        let mut fields = Fields::NONE;
        if let Some(spec) = parts.optional("outputSpec") {
            let mut spec = Parts::of(spec);
            while let Some(field) = spec.optional("outputField") {
                let name = text(field)?;
                let field = Field::of_name(&name).ok_or_else(|| {
                    let name = repeated(&name);
                    invalid(format!("Unknown output field in search criteria: {name}"))
                })?;
                fields = fields.with(field);
            }
            spec.end()?;
        }
        parts.end()?;
        Ok(Self { from, to, provider, fields })
    }

    /// What to look for, for a client that sees only the records of `party`, at a time in seconds since
    /// 1970. Records of the last `offset` seconds are not given yet, since some may still be on
    /// their way to the store; then the second from which to go on is given too.
    ///
    /// # Errors
    /// `client.invalid_request` for times that are negative, go back, or lie ahead.
    pub fn search(
        &self,
        party: Option<&ClientId>,
        now: u64,
        offset: u64,
        limit: usize,
    ) -> Result<(Search, Option<u64>), Fault> {
        let from = u64::try_from(self.from)
            .map_err(|_| invalid("Records from timestamp is a negative number"))?;
        let to = u64::try_from(self.to)
            .map_err(|_| invalid("Records to timestamp is a negative number"))?;
        if to < from {
            return Err(invalid("Records to timestamp is earlier than records from timestamp"));
        }
        let available = now.saturating_sub(offset);
        if from >= available {
            return Err(invalid(format!("Records not available from {from} yet")));
        }
        let later = (to >= available).then_some(available);
        let to = to.min(available - 1);
        let (party, provider) = (party.cloned(), self.provider.clone());
        Ok((Search { from, to, party, provider, limit }, later))
    }
}

/// A question for the health of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthQuery {
    /// Only services of this provider.
    pub provider: Option<ClientId>,
}

impl HealthQuery {
    /// Reads a SOAP message.
    ///
    /// # Errors
    /// `client.invalid_request` for what does not follow the schema.
    pub fn parse(soap: &[u8]) -> Result<Self, Fault> {
        let document = Document::parse(soap, &limits()).map_err(|e| invalid(e.to_string()))?;
        let mut parts = Parts::of(operation(&document, HEALTH_DATA)?);
        let mut provider = None;
        if let Some(criteria) = parts.optional("filterCriteria") {
            let mut criteria = Parts::of(criteria);
            provider = criteria.optional("client").map(client).transpose()?;
            criteria.end()?;
        }
        parts.end()?;
        Ok(Self { provider })
    }
}

/// A question for the server's own metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsQuery {
    /// The names of the metrics wanted; none means all.
    pub names: Vec<String>,
}

impl MetricsQuery {
    /// Reads a SOAP message.
    ///
    /// # Errors
    /// `client.invalid_request` when it is no XML, or names more than 1,000 metrics.
    pub fn parse(soap: &[u8]) -> Result<Self, Fault> {
        let document = Document::parse(soap, &limits()).map_err(|e| invalid(e.to_string()))?;
        let fields = document.root().descendants().filter(|e| e.is(ENVIRONMENT_NS, "outputField"));
        let names: Vec<String> =
            fields.take(MAX_METRIC_NAMES + 1).map(|field| field.text()).collect();
        if names.len() > MAX_METRIC_NAMES {
            return Err(invalid(format!("More than {MAX_METRIC_NAMES} output fields")));
        }
        Ok(Self { names })
    }

    /// Whether a metric of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

/// The one element of the body, which must have this name.
fn operation<'d>(document: &'d Document<'_>, name: &str) -> Result<Element<'d>, Fault> {
    let body = document.root().child_ns(ENVELOPE_NS, "Body");
    body.and_then(|body| body.children().next())
        .filter(|e| e.is(OPERATIONAL_NS, name))
        .ok_or_else(|| invalid(format!("The body has no element {name} of {OPERATIONAL_NS}")))
}

/// The children of an element, in the order of the schema.
struct Parts<'d, I: Iterator<Item = Element<'d>>> {
    of: Element<'d>,
    namespace: &'static str,
    rest: std::iter::Peekable<I>,
}

impl<'d> Parts<'d, std::vec::IntoIter<Element<'d>>> {
    fn of(element: Element<'d>) -> Self {
        Self::in_namespace(element, OPERATIONAL_NS)
    }

    fn in_namespace(element: Element<'d>, namespace: &'static str) -> Self {
        let children: Vec<Element<'d>> = element.children().collect();
        Self { of: element, namespace, rest: children.into_iter().peekable() }
    }

    fn optional(&mut self, name: &str) -> Option<Element<'d>> {
        self.rest.next_if(|e| e.is(self.namespace, name))
    }

    fn required(&mut self, name: &str) -> Result<Element<'d>, Fault> {
        self.optional(name).ok_or_else(|| {
            invalid(format!("The element {} has no {name} where it should be", self.of.name()))
        })
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.rest.next() {
            None if self.of.own_text_is_blank() => Ok(()),
            None => Err(invalid(format!("The element {} has text", self.of.name()))),
            Some(other) => Err(invalid(format!(
                "The element {} has {} where it should not be",
                self.of.name(),
                repeated(other.name())
            ))),
        }
    }
}

fn text(element: Element<'_>) -> Result<String, Fault> {
    if element.children().next().is_some() {
        return Err(invalid(format!("The element {} has other elements", element.name())));
    }
    Ok(element.text())
}

/// `xs:long`.
fn seconds(element: Element<'_>) -> Result<i64, Fault> {
    let text = text(element)?;
    text.trim_matches([' ', '\t', '\r', '\n']).parse().map_err(|_| {
        let text = repeated(&text);
        invalid(format!("'{text}' in {} is not a whole number of seconds", element.name()))
    })
}

/// `XRoadClientIdentifierType`.
fn client(element: Element<'_>) -> Result<ClientId, Fault> {
    let mut parts = Parts::in_namespace(element, IDENTIFIER_NS);
    let instance = text(parts.required("xRoadInstance")?)?;
    let class = text(parts.required("memberClass")?)?;
    let code = text(parts.required("memberCode")?)?;
    let subsystem = parts.optional("subsystemCode").map(text).transpose()?;
    parts.end()?;
    let kind = element.attribute_ns(IDENTIFIER_NS, "objectType").unwrap_or_default();
    let expected = if subsystem.is_some() { "SUBSYSTEM" } else { "MEMBER" };
    if kind != expected {
        return Err(invalid(format!(
            "The object type of the client is '{}', but its parts are those of a {expected}",
            repeated(kind)
        )));
    }
    ClientId::new(&instance, &class, &code, subsystem.as_deref())
        .map_err(|e| invalid(format!("The client cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn soap(body: &str) -> Vec<u8> {
        format!(
            "<e:Envelope xmlns:e=\"{ENVELOPE_NS}\" xmlns:om=\"{OPERATIONAL_NS}\" xmlns:id=\"{IDENTIFIER_NS}\" \
             xmlns:m=\"{ENVIRONMENT_NS}\"><e:Header/><e:Body>{body}</e:Body></e:Envelope>"
        )
        .into_bytes()
    }

    fn operational(inside: &str) -> Result<OperationalQuery, Fault> {
        OperationalQuery::parse(&soap(&format!(
            "<om:{OPERATIONAL_DATA}>{inside}</om:{OPERATIONAL_DATA}>"
        )))
    }

    const CLIENT: &str = "<om:client id:objectType=\"SUBSYSTEM\"><id:xRoadInstance>DEV</id:xRoadInstance>\
        <id:memberClass>GOV</id:memberClass><id:memberCode>2</id:memberCode>\
        <id:subsystemCode>sub</id:subsystemCode></om:client>";

    #[test]
    fn questions_for_records() {
        let query = operational(&format!(
            "<om:searchCriteria>\n<om:recordsFrom> 10 </om:recordsFrom><om:recordsTo>20</om:recordsTo>{CLIENT}\
             </om:searchCriteria><om:outputSpec><om:outputField>messageId</om:outputField>\
             <om:outputField>xRequestId</om:outputField></om:outputSpec>"
        ))
        .unwrap();
        assert_eq!((query.from, query.to), (10, 20));
        assert_eq!(query.provider, Some(ClientId::parse("DEV/GOV/2/sub").unwrap()));
        assert_eq!(query.fields, Fields::NONE.with(Field::MessageId).with(Field::XRequestId));
        let plain = "<om:searchCriteria><om:recordsFrom>1</om:recordsFrom><om:recordsTo>2</om:recordsTo></om:searchCriteria>";
        assert!(operational(plain).unwrap().fields.is_empty());
    }

    #[test]
    fn what_does_not_follow_the_schema_is_the_clients_fault() {
        let times = "<om:recordsFrom>1</om:recordsFrom><om:recordsTo>2</om:recordsTo>";
        let criteria = format!("<om:searchCriteria>{times}</om:searchCriteria>");
        let member = CLIENT.replace("SUBSYSTEM", "MEMBER");
        for (inside, says) in [
            (String::new(), "searchCriteria"),
            ("<om:searchCriteria/>".to_owned(), "recordsFrom"),
            (format!("<om:searchCriteria>{times}<om:more/></om:searchCriteria>"), "more"),
            (criteria.replace(">1<", ">one<"), "one"),
            (criteria.replace(">1<", ">9223372036854775808<"), "9223372036854775808"),
            (
                format!(
                    "{criteria}<om:outputSpec><om:outputField>id</om:outputField></om:outputSpec>"
                ),
                "id",
            ),
            (format!("{criteria}text"), "text"),
            (format!("<om:searchCriteria>{times}{member}</om:searchCriteria>"), "SUBSYSTEM"),
            (criteria.replace("om:recordsTo", "id:recordsTo"), "recordsTo"),
        ] {
            let fault = operational(&inside).unwrap_err();
            assert_eq!(fault.code(), "client.invalid_request", "{inside}");
            assert!(fault.message().contains(says), "{inside}: {fault}");
        }
        let elsewhere = soap(&format!("<m:{OPERATIONAL_DATA}/>"));
        assert!(OperationalQuery::parse(&elsewhere).is_err());
        assert!(OperationalQuery::parse(b"<!DOCTYPE a><a/>").is_err());
    }

    #[test]
    fn times_are_judged() {
        let query = |from, to| OperationalQuery { from, to, provider: None, fields: Fields::NONE };
        let search = |from, to| query(from, to).search(None, 1000, 60, 5);
        let (found, later) = search(0, 939).unwrap();
        assert_eq!((found.from, found.to, found.limit, later), (0, 939, 5, None));
        let (found, later) = search(100, 940).unwrap();
        assert_eq!((found.to, later), (939, Some(940)));
        for (from, to, says) in [
            (-1, 5, "from timestamp is a negative"),
            (0, -5, "to timestamp is a negative"),
            (9, 8, "earlier"),
            (940, 950, "not available from 940"),
        ] {
            let fault = search(from, to).unwrap_err();
            assert_eq!(fault.code(), "client.invalid_request");
            assert!(fault.message().contains(says), "{fault}");
        }
        assert!(query(0, 1).search(None, 10, 60, 5).is_err(), "a clock near 1970");
    }

    #[test]
    fn other_questions() {
        let health = |inside: &str| {
            HealthQuery::parse(&soap(&format!("<om:{HEALTH_DATA}>{inside}</om:{HEALTH_DATA}>")))
        };
        assert_eq!(health("").unwrap().provider, None);
        let filtered = health(&format!("<om:filterCriteria>{CLIENT}</om:filterCriteria>")).unwrap();
        assert_eq!(filtered.provider, Some(ClientId::parse("DEV/GOV/2/sub").unwrap()));
        assert!(health("<om:filter/>").is_err());
        let metrics = MetricsQuery::parse(&soap(&format!(
            "<m:{METRICS}><m:outputSpec><m:outputField>OperatingSystem</m:outputField></m:outputSpec></m:{METRICS}>"
        )))
        .unwrap();
        assert!(metrics.wants("OperatingSystem") && !metrics.wants("Certificates"));
        assert!(
            MetricsQuery::parse(&soap(&format!("<m:{METRICS}/>"))).unwrap().wants("Certificates")
        );
        let many = "<m:outputField>a</m:outputField>".repeat(1001);
        assert!(MetricsQuery::parse(&soap(&many)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_nothing_breaks(inside in "(<om:searchCriteria>|</om:searchCriteria>|<om:recordsFrom>|-?[0-9]{1,20}|</om:recordsFrom>|<om:recordsTo>|</om:recordsTo>|.){0,12}") {
            let _ = operational(&inside);
            let _ = HealthQuery::parse(inside.as_bytes());
            let _ = MetricsQuery::parse(&soap(&inside));
        }

        #[test]
        fn a_search_never_leaves_what_was_asked_for(from in 0_i64..2000, to in 0_i64..2000, now in 0_u64..2000, offset in 0_u64..100) {
            let query = OperationalQuery { from, to, provider: None, fields: Fields::NONE };
            if let Ok((search, later)) = query.search(None, now, offset, 1) {
                prop_assert!(search.from == from as u64 && search.to <= to as u64 && search.from <= search.to);
                prop_assert!(search.to + offset < now);
                prop_assert_eq!(later.is_some(), search.to < to as u64);
            }
        }
    }
}

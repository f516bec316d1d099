//! The operational data record of an exchange, while the exchange is under way.
//!
//! Whoever holds a clone adds what is learned; when the last is dropped, however the exchange ended,
//! the record goes to the store. An exchange that nobody has called a success was none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_message::Fault;
use causeway_message::rest::{self, RestRequest};
use causeway_message::soap::SoapMessage;
use causeway_monitoring::{Record, Recorder, ServerType};

use super::now_ms;
use crate::access::{PathPattern, normalized_service_path};
use crate::body::Taken;
use crate::message::{Asked, Kind};
use crate::server::Server;
use crate::settings::{Service, ServiceKind, Settings};

/// The header of the user on whose behalf a client asks (REST).
const USER_ID: &str = "x-road-userid";
/// The header of the matter that a request belongs to (REST).
const ISSUE: &str = "x-road-issue";

/// An exchange that leaves a record; the default leaves none.
#[derive(Debug, Clone, Default)]
pub struct Observed(Option<Arc<Observation>>);

#[derive(Debug)]
struct Observation {
    recorder: Arc<Recorder>,
    settings: Arc<Settings>,
    record: Mutex<Record>,
}

impl Drop for Observation {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut record = std::mem::take(record);
        if record.response_out_ts == 0 {
            record.response_out_ts = now_ms();
        }
        self.recorder.push(record);
    }
}

impl Observed {
    /// A request has come in.
    pub(crate) fn begin(server: &Server, side: ServerType) -> Self {
        let Some(recorder) = server.monitoring.recorder() else { return Self::default() };
        let settings = server.settings();
        let mut record = Record::begin(side, now_ms());
        record.security_server_internal_ip =
            Some(server.monitoring.internal_ip.load().as_ref().clone());
        record.x_road_version = Some(crate::PROTOCOL_VERSION.to_owned());
        let own =
            server.global_conf().and_then(|conf| conf.server(&settings.server)?.address.clone());
        match side {
            ServerType::Client => record.client_security_server_address = own,
            ServerType::Producer => record.service_security_server_address = own,
        }
        let (recorder, record) = (Arc::clone(recorder), Mutex::new(record));
        Self(Some(Arc::new(Observation { recorder, settings, record })))
    }

    fn change(&self, change: impl FnOnce(MutexGuard<'_, Record>, &Settings)) {
        if let Some(observation) = &self.0 {
            let record = observation.record.lock().unwrap_or_else(PoisonError::into_inner);
            change(record, &observation.settings);
        }
    }

    /// The request's own part was read: who asks whom for what.
    pub(crate) fn asked(&self, request: &Asked) {
        self.change(|mut record, settings| {
            record.set_client(&request.client);
            record.set_service(&request.service);
            record.message_id = Some(request.message_id.clone());
            if !request.request_id.is_empty() {
                record.x_request_id = Some(request.request_id.clone());
            }
            match &request.kind {
                Kind::Rest(rest) => rest_request(&mut record, settings, rest),
                Kind::Soap(call) => soap_request(&mut record, &call.message, &request.bytes),
            }
        });
    }

    /// The request id that counts, which may be known later than the rest.
    pub(crate) fn request_id(&self, id: &str) {
        self.change(|mut record, _| record.x_request_id = Some(id.to_owned()));
    }

    /// The address of the server at the other end, as the global configuration has it.
    pub(crate) fn other_server(&self, address: Option<&str>) {
        self.change(|mut record, _| {
            let address = address.map(str::to_owned);
            match record.security_server_type {
                ServerType::Client => record.service_security_server_address = address,
                ServerType::Producer => record.client_security_server_address = address,
            }
        });
    }

    /// How long the request is: its own part, and the attachments (REST: the body) that came with it.
    pub(crate) fn request_size(&self, message: usize, attachments: &[Taken]) {
        self.change(|mut record, _| {
            let sizes = Sizes::of(&record, message, attachments);
            record.request_size = Some(sizes.size);
            record.request_attachment_count = Some(sizes.attachments);
            record.request_mime_size = sizes.mime;
        });
    }

    /// The request goes out now.
    pub(crate) fn request_out(&self) {
        self.change(|mut record, _| record.request_out_ts = Some(now_ms()));
    }

    /// The answer begins to come in now.
    pub(crate) fn response_in(&self) {
        self.change(|mut record, _| record.response_in_ts = Some(now_ms()));
    }

    /// The HTTP status of a REST answer.
    pub(crate) fn status(&self, status: u16) {
        self.change(|mut record, _| record.status_code = Some(u64::from(status)));
    }

    /// The HTTP status of an information system's answer, which counts for REST alone.
    pub(crate) fn http_status(&self, status: u16) {
        self.change(|mut record, _| {
            if is_rest(&record) {
                record.status_code = Some(u64::from(status));
            }
        });
    }

    /// How long the answer is: its own part, and the attachments (REST: the body) that came with it.
    pub(crate) fn response_size(&self, message: usize, attachments: &[Taken]) {
        self.change(|mut record, _| {
            let sizes = Sizes::of(&record, message, attachments);
            record.response_size = Some(sizes.size);
            record.response_attachment_count = Some(sizes.attachments);
            record.response_mime_size = sizes.mime;
        });
    }

    /// All went well, unless the answer's status says otherwise; the answer goes out now.
    pub(crate) fn answered(&self) {
        self.change(|mut record, _| {
            record.succeeded = !record.status_code.is_some_and(|s| (400..=599).contains(&s));
            record.response_out_ts = now_ms();
        });
    }

    /// It failed.
    pub(crate) fn failed(&self, fault: &Fault) {
        self.change(|mut record, _| {
            record.succeeded = false;
            record.fault_code = Some(fault.code().to_owned());
            record.fault_string = Some(fault.message().to_owned());
        });
    }
}

/// What a message's parts come to (X-Road counts a REST body as part of the message).
struct Sizes {
    size: u64,
    attachments: u64,
    mime: Option<u64>,
}

impl Sizes {
    fn of(record: &Record, message: usize, attachments: &[Taken]) -> Self {
        let own = message as u64;
        let all = attachments.iter().fold(own, |sum, taken| sum.saturating_add(taken.length));
        if is_rest(record) {
            return Self { size: all, attachments: 0, mime: None };
        }
        let mime = (!attachments.is_empty()).then_some(all);
        Self { size: own, attachments: attachments.len() as u64, mime }
    }
}

fn is_rest(record: &Record) -> bool {
    record.rest_method.is_some()
}

fn rest_request(record: &mut Record, settings: &Settings, request: &RestRequest) {
    record.message_user_id = request.header(USER_ID).map(str::to_owned);
    record.message_issue = request.header(ISSUE).map(str::to_owned);
    record.message_protocol_version = Some("1".to_owned());
    record.rest_method = Some(request.verb.clone());
    if let Some(party) = request.header(rest::REPRESENTED_PARTY) {
        let (class, code) = represented(party);
        record.represented_party_class = class;
        record.represented_party_code = code;
    }
    let provider = settings.clients.get(request.service.client());
    let service = provider.and_then(|provider| provider.service(request.service.code(), None));
    record.service_type = Some(kind(service.map(|s| s.kind)).to_owned());
    if record.security_server_type == ServerType::Producer {
        record.rest_path = service.and_then(|s| described(s, request));
    }
}

fn soap_request(record: &mut Record, message: &SoapMessage, envelope: &[u8]) {
    record.message_user_id.clone_from(&message.user_id);
    record.message_issue.clone_from(&message.issue);
    record.message_protocol_version = Some(message.protocol_version.clone());
    record.service_type = Some("WSDL".to_owned());
    record.request_size = Some(envelope.len() as u64);
    if let Some(party) = &message.represented_party {
        record.represented_party_class.clone_from(&party.class);
        record.represented_party_code.clone_from(&party.code);
    }
}

fn kind(kind: Option<ServiceKind>) -> &'static str {
    match kind {
        Some(ServiceKind::OpenApi) => "OPENAPI3",
        Some(ServiceKind::Soap) => "WSDL",
        Some(ServiceKind::Rest) | None => "REST",
    }
}

/// The described endpoint that a request meets; the path itself may name people, and is not kept.
fn described(service: &Service, request: &RestRequest) -> Option<String> {
    let path = normalized_service_path(&request.service_path).ok()?;
    service
        .listed_endpoints()
        .into_iter()
        .filter(|e| e.method == "*" || e.method.eq_ignore_ascii_case(&request.verb))
        .filter(|e| PathPattern::parse(&e.path).is_ok_and(|pattern| pattern.matches(&path)))
        .map(|endpoint| endpoint.path)
        // The most telling: `/pets/first` rather than `/pets/*`.
        .max()
}

/// `[class/]code` (`pr-rest` 4.3).
fn represented(party: &str) -> (Option<String>, Option<String>) {
    match party.split_once('/') {
        Some((class, code)) => (Some(class.to_owned()), Some(code.to_owned())),
        None => (None, Some(party.to_owned())),
    }
}

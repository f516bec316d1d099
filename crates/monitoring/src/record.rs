//! One exchange, as one of the two servers saw it.

use causeway_identifiers::{ClientId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::field::{Shown, ShownAs};

/// The longest text of a field, in characters (X-Road's payload schema).
pub const MAX_TEXT_CHARS: usize = 255;
/// The longest `faultString`, in characters (X-Road's payload schema).
pub const MAX_FAULT_CHARS: usize = 2048;

/// Which of the two servers a record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ServerType {
    /// The server of the service's client.
    #[default]
    Client,
    /// The server of the service's provider.
    Producer,
}

impl ServerType {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Producer => "Producer",
        }
    }
}

impl ShownAs for ServerType {
    fn shown(&self) -> Option<Shown<'_>> {
        Some(Shown::Text(self.as_str()))
    }
}

macro_rules! record {
    ($($(#[$doc:meta])* $member:ident : $type:ty = $variant:ident $name:literal;)*) => {
        /// An operational data record. Times are milliseconds since 1970 unless told otherwise,
        /// sizes are bytes; a field that is not known is absent.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct Record {
            $($(#[$doc])*
            #[serde(rename = $name, default, skip_serializing_if = "ShownAs::is_absent")]
            pub $member: $type,)*
        }

        /// A field of a record, by its name in queries and payloads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// Every field, in the order in which payloads have them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in queries and payloads.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The field of a name; names are case-sensitive.
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl Record {
            /// The value of a field, if it has one.
            pub fn value(&self, field: Field) -> Option<Shown<'_>> {
                match field { $(Field::$variant => self.$member.shown(),)* }
            }

            fn shorten_all(&mut self) {
                $(self.$member.shorten(MAX_TEXT_CHARS);)*
            }
        }
    };
}

record! {
    /// When the record was put into the store, in seconds since 1970. Queries go by it.
    monitoring_data_ts: u64 = MonitoringDataTs "monitoringDataTs";
    /// The server's address in its own network. Only the owner and the central monitoring client see it.
    security_server_internal_ip: Option<String> = SecurityServerInternalIp "securityServerInternalIp";
    /// Which of the two servers this record is from.
    security_server_type: ServerType = SecurityServerType "securityServerType";
    /// The request came in.
    request_in_ts: u64 = RequestInTs "requestInTs";
    /// The request went out: to the other server, or to the provider's information system.
    request_out_ts: Option<u64> = RequestOutTs "requestOutTs";
    /// The answer came in.
    response_in_ts: Option<u64> = ResponseInTs "responseInTs";
    /// The answer, or the error, went out.
    response_out_ts: u64 = ResponseOutTs "responseOutTs";
    /// The client's instance.
    client_x_road_instance: Option<String> = ClientXRoadInstance "clientXRoadInstance";
    /// The client's member class.
    client_member_class: Option<String> = ClientMemberClass "clientMemberClass";
    /// The client's member code.
    client_member_code: Option<String> = ClientMemberCode "clientMemberCode";
    /// The client's subsystem code; absent when the member itself asks.
    client_subsystem_code: Option<String> = ClientSubsystemCode "clientSubsystemCode";
    /// The provider's instance.
    service_x_road_instance: Option<String> = ServiceXRoadInstance "serviceXRoadInstance";
    /// The provider's member class.
    service_member_class: Option<String> = ServiceMemberClass "serviceMemberClass";
    /// The provider's member code.
    service_member_code: Option<String> = ServiceMemberCode "serviceMemberCode";
    /// The provider's subsystem code; absent when the member itself provides.
    service_subsystem_code: Option<String> = ServiceSubsystemCode "serviceSubsystemCode";
    /// The service's code.
    service_code: Option<String> = ServiceCode "serviceCode";
    /// REST: the HTTP method.
    rest_method: Option<String> = RestMethod "restMethod";
    /// REST, producer only: the described endpoint that the path met, such as `/persons/*`; the path itself is not kept.
    rest_path: Option<String> = RestPath "restPath";
    /// The server's version.
    x_road_version: Option<String> = XRoadVersion "xRoadVersion";
    /// The service's version; REST has none.
    service_version: Option<String> = ServiceVersion "serviceVersion";
    /// Class of the party that the client represents.
    represented_party_class: Option<String> = RepresentedPartyClass "representedPartyClass";
    /// Code of the party that the client represents.
    represented_party_code: Option<String> = RepresentedPartyCode "representedPartyCode";
    /// The message's id.
    message_id: Option<String> = MessageId "messageId";
    /// The user on whose behalf the client asks.
    message_user_id: Option<String> = MessageUserId "messageUserId";
    /// The matter that the request belongs to.
    message_issue: Option<String> = MessageIssue "messageIssue";
    /// `4.0` for SOAP, `1` for REST.
    message_protocol_version: Option<String> = MessageProtocolVersion "messageProtocolVersion";
    /// The address of the client's server in the global configuration.
    client_security_server_address: Option<String> = ClientSecurityServerAddress "clientSecurityServerAddress";
    /// The address of the provider's server in the global configuration.
    service_security_server_address: Option<String> = ServiceSecurityServerAddress "serviceSecurityServerAddress";
    /// The request: SOAP envelope, or REST header block and body.
    request_size: Option<u64> = RequestSize "requestSize";
    /// The answer: SOAP envelope, or REST header block and body.
    response_size: Option<u64> = ResponseSize "responseSize";
    /// SOAP with attachments: envelope and attachments of the request.
    request_mime_size: Option<u64> = RequestMimeSize "requestMimeSize";
    /// How many attachments the request has; 0 for REST.
    request_attachment_count: Option<u64> = RequestAttachmentCount "requestAttachmentCount";
    /// SOAP with attachments: envelope and attachments of the answer.
    response_mime_size: Option<u64> = ResponseMimeSize "responseMimeSize";
    /// How many attachments the answer has; 0 for REST.
    response_attachment_count: Option<u64> = ResponseAttachmentCount "responseAttachmentCount";
    /// Whether the exchange went well. A REST answer with status 400 to 599 did not.
    succeeded: bool = Succeeded "succeeded";
    /// The error's code.
    fault_code: Option<String> = FaultCode "faultCode";
    /// The error's text.
    fault_string: Option<String> = FaultString "faultString";
    /// The id that the two servers gave the exchange.
    x_request_id: Option<String> = XRequestId "xRequestId";
    /// REST: the HTTP status of the answer.
    status_code: Option<u64> = StatusCode "statusCode";
    /// `WSDL`, `REST` or `OPENAPI3`.
    service_type: Option<String> = ServiceType "serviceType";
}

impl Record {
    /// A record of a request that came in, in milliseconds since 1970.
    pub fn begin(server: ServerType, request_in_ts: u64) -> Self {
        Self { security_server_type: server, request_in_ts, ..Self::default() }
    }

    /// Says who asks.
    pub fn set_client(&mut self, client: &ClientId) {
        self.client_x_road_instance = Some(client.instance().to_owned());
        self.client_member_class = Some(client.member().class().to_owned());
        self.client_member_code = Some(client.member().code().to_owned());
        self.client_subsystem_code = client.subsystem_code().map(str::to_owned);
    }

    /// Says who is asked, for what.
    pub fn set_service(&mut self, service: &ServiceId) {
        let provider = service.client();
        self.service_x_road_instance = Some(provider.instance().to_owned());
        self.service_member_class = Some(provider.member().class().to_owned());
        self.service_member_code = Some(provider.member().code().to_owned());
        self.service_subsystem_code = provider.subsystem_code().map(str::to_owned);
        self.service_code = Some(service.code().to_owned());
        self.service_version = service.version().map(str::to_owned);
    }

    /// Cuts every text to the length that the payload's schema allows, so that what a stranger
    /// writes into a header neither fills the memory nor breaks the payload.
    pub fn shorten(&mut self) {
        let mut fault = self.fault_string.take();
        self.shorten_all();
        fault.shorten(MAX_FAULT_CHARS);
        self.fault_string = fault;
    }

    /// The client, as far as it is known.
    pub(crate) fn client(&self) -> Party<'_> {
        Party {
            instance: self.client_x_road_instance.as_deref(),
            class: self.client_member_class.as_deref(),
            code: self.client_member_code.as_deref(),
            subsystem: self.client_subsystem_code.as_deref(),
        }
    }

    /// The provider, as far as it is known.
    pub(crate) fn provider(&self) -> Party<'_> {
        Party {
            instance: self.service_x_road_instance.as_deref(),
            class: self.service_member_class.as_deref(),
            code: self.service_member_code.as_deref(),
            subsystem: self.service_subsystem_code.as_deref(),
        }
    }

    /// The time from the request's coming in to the answer's going out, in milliseconds.
    pub fn duration(&self) -> u64 {
        self.response_out_ts.saturating_sub(self.request_in_ts)
    }
}

/// A member or subsystem, borrowed from a record or an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Party<'a> {
    instance: Option<&'a str>,
    class: Option<&'a str>,
    code: Option<&'a str>,
    subsystem: Option<&'a str>,
}

impl<'a> Party<'a> {
    pub(crate) fn of(id: &'a ClientId) -> Self {
        Self {
            instance: Some(id.instance()),
            class: Some(id.member().class()),
            code: Some(id.member().code()),
            subsystem: id.subsystem_code(),
        }
    }

    /// A number by which batches without the party are passed over; equal parties have equal numbers.
    pub(crate) fn mark(self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for part in [self.instance, self.class, self.code, self.subsystem] {
            hasher.update(part.unwrap_or_default().as_bytes());
            hasher.update(b"\0");
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_record_reads_back_and_forgets_nothing() {
        let client = ClientId::parse("DEV/GOV/1/portal").unwrap();
        let service = ClientId::parse("DEV/GOV/2").unwrap().service("query", Some("v1")).unwrap();
        let mut record = Record::begin(ServerType::Producer, 7);
        record.set_client(&client);
        record.set_service(&service);
        record.status_code = Some(200);
        record.succeeded = true;
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.client(), Party::of(&client));
        assert_eq!(record.provider(), Party::of(service.client()));
        assert_ne!(record.client().mark(), record.provider().mark());
    }

    #[test]
    fn texts_are_cut_to_what_the_schema_allows() {
        let mut record = Record::begin(ServerType::Client, 1);
        record.message_id = Some("ä".repeat(300));
        record.fault_string = Some("ö".repeat(3000));
        record.message_issue = Some("short".into());
        record.shorten();
        assert_eq!(record.message_id.unwrap().chars().count(), MAX_TEXT_CHARS);
        assert_eq!(record.fault_string.unwrap().chars().count(), MAX_FAULT_CHARS);
        assert_eq!(record.message_issue.as_deref(), Some("short"));
    }
}

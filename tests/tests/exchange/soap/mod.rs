//! SOAP as X-Road relays it: the whole exchanges of X-Road's own proxy test suite, large attachments,
//! the evidence of all of it, and what must not pass.

mod attacks;
mod cases;
mod exchanges;
mod peers;
mod stories;

use std::net::SocketAddr;

use bytes::Bytes;
use causeway_message::soap::{Soap, SoapMessage};
use causeway_transport::{ContentType, Limits, PartHeaders, RelatedDecoder, RelatedEvent};

use crate::wire::{Answer, Wire};

/// A message as an information system sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) envelope: Vec<u8>,
    /// Of the envelope's part, in a multipart: its media type, and its other headers. Parameters of the type are the
    /// servers' own.
    pub(crate) part: Option<(String, Vec<(String, String)>)>,
    pub(crate) attachments: Vec<(PartHeaders, Vec<u8>)>,
}

impl Message {
    /// Reads a body by its content type; nothing when it is no message.
    pub(crate) fn read(content_type: &str, body: &[u8]) -> Option<Self> {
        let parsed = ContentType::parse(content_type);
        if parsed.base() != "multipart/related" {
            return Some(Self { envelope: body.to_vec(), part: None, attachments: Vec::new() });
        }
        let mut decoder = RelatedDecoder::new(parsed.boundary()?, Limits::default());
        decoder.push(Bytes::copy_from_slice(body));
        decoder.end_of_input();
        let mut parts: Vec<(PartHeaders, Vec<u8>)> = Vec::new();
        while let Some(event) = decoder.next_event().ok()? {
            match event {
                RelatedEvent::Part(headers) => parts.push((headers, Vec::new())),
                RelatedEvent::Data(data) => parts.last_mut()?.1.extend_from_slice(&data),
                RelatedEvent::PartEnd | RelatedEvent::End => {}
            }
        }
        let mut parts = parts.into_iter();
        let (part, envelope) = parts.next()?;
        let kind = ContentType::parse(part.content_type().unwrap_or_default()).base().to_owned();
        let part = Some((kind, part.others().to_vec()));
        Some(Self { envelope, part, attachments: parts.collect() })
    }

    pub(crate) fn header(&self) -> Option<SoapMessage> {
        SoapMessage::parse(&self.envelope).ok()
    }
}

/// A `POST` of a message.
pub(crate) fn post(content_type: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "POST / HTTP/1.1\r\nHost: ss\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// Sends a message over a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Answer {
    Wire::connect(address).await.ask(request).await
}

/// The code of the fault that an answer is, or `ok`.
pub(crate) fn outcome(answer: &Answer) -> String {
    let content_type = answer.header("content-type").unwrap_or_default();
    let Some(message) = Message::read(content_type, &answer.body) else {
        return format!("unreadable: {answer:?}");
    };
    match Soap::read(&message.envelope) {
        Ok(Soap::Message(_)) => "ok".to_owned(),
        Ok(Soap::Fault(fault)) => fault.code().to_owned(),
        Err(error) => format!("unreadable, {error}: {}", answer.text()),
    }
}

/// An envelope from the portal to a service of the population register, of this message id, with this in its body.
pub(crate) fn envelope(code: &str, id: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\" xmlns:i=\"http://x-road.eu/xsd/identifiers\">\n  <s:Header>\n    \
         <x:client i:objectType=\"SUBSYSTEM\"><i:xRoadInstance>DEV</i:xRoadInstance><i:memberClass>GOV</i:memberClass>\
         <i:memberCode>1003</i:memberCode><i:subsystemCode>portal</i:subsystemCode></x:client>\n    \
         <x:service i:objectType=\"SERVICE\"><i:xRoadInstance>DEV</i:xRoadInstance><i:memberClass>GOV</i:memberClass>\
         <i:memberCode>1001</i:memberCode><i:subsystemCode>population</i:subsystemCode>\
         <i:serviceCode>{code}</i:serviceCode></x:service>\n    <x:id>{id}</x:id>\n    \
         <x:protocolVersion>4.0</x:protocolVersion>\n  </s:Header>\n  <s:Body><x:{code}>{body}</x:{code}></s:Body>\n</s:Envelope>\n"
    )
}

/// The answer of a service that says the same with another body.
pub(crate) fn answered(request: &[u8], code: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    text.replace(&format!("<x:{code}>"), &format!("<x:{code}Response>"))
        .replace(&format!("</x:{code}>"), &format!("</x:{code}Response>"))
        .into_bytes()
}

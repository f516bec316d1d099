//! A SOAP service for measurements: it answers each request with what the request said, and with as
//! many bytes of attachment as the request had. Nothing of an attachment is kept.

use bytes::{Bytes, BytesMut};
use causeway_transport::{Boundary, ContentType, Limits, RelatedDecoder, RelatedEvent};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::measure::framed;
use super::{Body, full, problem};

/// The path of the service at the population register.
pub const PATH: &str = "soap";
/// The code of the service: the local name of a request's element.
pub const CODE: &str = "measureSoap";

const BOUNDARY: &str = "measured";
const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=UTF-8");
const RELATED: HeaderValue =
    HeaderValue::from_static("multipart/related; type=\"text/xml\"; boundary=measured");
/// The longest envelope that is answered.
const MAX_ENVELOPE: usize = 1 << 20;

/// Answers a request.
pub async fn handle(request: Request<Incoming>) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let parsed = ContentType::parse(content_type.unwrap_or_default());
    let read = match parsed.boundary().filter(|_| parsed.base() == "multipart/related") {
        None => read_plain(request.into_body()).await.map(|envelope| (envelope, None)),
        Some(boundary) => read_related(request.into_body(), boundary).await,
    };
    let Some((envelope, attached)) = read else {
        return problem(StatusCode::BAD_REQUEST, "this is no SOAP message");
    };
    let envelope = answer_to(&envelope);
    let mut response = match attached {
        None => Response::new(full(envelope)),
        Some(bytes) => Response::new(related(&envelope, bytes)),
    };
    let kind = if attached.is_some() { RELATED } else { XML };
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An envelope from a client to the service, with this message id and so many bytes in its body.
pub fn envelope(client: &[&str; 4], service: &[&str; 4], id: &str, bytes: usize) -> String {
    let identifier = |[instance, class, member, subsystem]: &[&str; 4]| {
        format!(
            "<id:xRoadInstance>{instance}</id:xRoadInstance><id:memberClass>{class}</id:memberClass>\
             <id:memberCode>{member}</id:memberCode><id:subsystemCode>{subsystem}</id:subsystemCode>"
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xrd=\"http://x-road.eu/xsd/xroad.xsd\" xmlns:id=\"http://x-road.eu/xsd/identifiers\"><soap:Header>\
         <xrd:client id:objectType=\"SUBSYSTEM\">{}</xrd:client><xrd:service id:objectType=\"SERVICE\">{}\
         <id:serviceCode>{CODE}</id:serviceCode></xrd:service><xrd:id>{id}</xrd:id>\
         <xrd:protocolVersion>4.0</xrd:protocolVersion></soap:Header><soap:Body><{CODE} xmlns=\"urn:measure\">{}</{CODE}>\
         </soap:Body></soap:Envelope>",
        identifier(client),
        identifier(service),
        "x".repeat(bytes)
    )
}

/// A body of an envelope and an attachment of so many bytes, which takes no memory; its content type is [`content_type`].
pub fn related(envelope: &str, bytes: u64) -> Body {
    let before = format!(
        "--{BOUNDARY}\r\nContent-Type: text/xml; charset=UTF-8\r\n\r\n{envelope}\r\n--{BOUNDARY}\r\n\
         Content-Type: application/octet-stream\r\nContent-ID: <measured>\r\n\r\n"
    );
    let after = format!("\r\n--{BOUNDARY}--\r\n");
    framed(before.into(), bytes, after.into())
}

/// The content type of a message with or without an attachment.
pub fn content_type(attached: bool) -> HeaderValue {
    if attached { RELATED } else { XML }
}

/// The request with its element named as a response's.
fn answer_to(envelope: &[u8]) -> String {
    String::from_utf8_lossy(envelope)
        .replace(&format!("<{CODE} "), &format!("<{CODE}Response "))
        .replace(&format!("</{CODE}>"), &format!("</{CODE}Response>"))
}

async fn read_plain(mut body: Incoming) -> Option<Bytes> {
    let mut envelope = BytesMut::new();
    while let Some(frame) = body.frame().await {
        envelope.extend_from_slice(frame.ok()?.data_ref().map_or(&[][..], |data| data));
        if envelope.len() > MAX_ENVELOPE {
            return None;
        }
    }
    Some(envelope.freeze())
}

/// The envelope, and how many bytes the attachments have.
async fn read_related(mut body: Incoming, boundary: &Boundary) -> Option<(Bytes, Option<u64>)> {
    let mut decoder = RelatedDecoder::new(boundary, Limits::default());
    let mut envelope = BytesMut::new();
    let (mut parts, mut attached) = (0, 0);
    loop {
        while let Some(event) = decoder.next_event().ok()? {
            match event {
                RelatedEvent::Part(_) => parts += 1,
                RelatedEvent::Data(data) if parts == 1 && envelope.len() < MAX_ENVELOPE => {
                    envelope.extend_from_slice(&data);
                }
                RelatedEvent::Data(data) => attached += data.len() as u64,
                RelatedEvent::PartEnd => {}
                RelatedEvent::End => return Some((envelope.freeze(), Some(attached))),
            }
        }
        match body.frame().await {
            Some(frame) => {
                if let Ok(data) = frame.ok()?.into_data() {
                    decoder.push(data);
                }
            }
            None => decoder.end_of_input(),
        }
    }
}

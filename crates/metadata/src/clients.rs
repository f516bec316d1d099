//! `listClients`: the members and subsystems of an instance, as XML or JSON (`pr-meta` 2,
//! `service-metainfo.xsd`; X-Road `MetadataClientRequestProcessor`).

use causeway_identifiers::ClientId;
use causeway_xml::Writer;
use serde::Serialize;

/// The content type of the XML answer.
pub const XML: &str = "text/xml; charset=UTF-8";
/// The content type of the JSON answer.
pub const JSON: &str = "application/json; charset=utf-8";

/// A member or subsystem, with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedClient<'n> {
    /// Who it is.
    pub id: ClientId,
    /// The name of the member that it is or belongs to.
    pub name: &'n str,
    /// The name of the subsystem, where the global configuration has one (version 5 and newer).
    pub subsystem_name: Option<&'n str>,
}

/// Whether a caller wants JSON, by the values of its `Accept` headers: `application/json` is among
/// the media types. Their order and weights do not count, and `*/*` is XML.
pub fn accepts_json<'h>(accept: impl IntoIterator<Item = &'h str>) -> bool {
    accept.into_iter().flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    })
}

/// The list as XML.
pub fn to_xml<'n>(clients: impl IntoIterator<Item = ListedClient<'n>>) -> String {
    let mut w = Writer::indented();
    w.declaration();
    w.start(
        "xroad:clientList",
        &[
            ("xmlns:id", "http://x-road.eu/xsd/identifiers"),
            ("xmlns:xroad", "http://x-road.eu/xsd/xroad.xsd"),
        ],
    );
    for client in clients {
        let member = client.id.member();
        w.start("xroad:member", &[]);
        w.start("xroad:id", &[("id:objectType", object_type(&client.id))]);
        w.element("id:xRoadInstance", &[], member.instance());
        w.element("id:memberClass", &[], member.class());
        w.element("id:memberCode", &[], member.code());
        if let Some(code) = client.id.subsystem_code() {
            w.element("id:subsystemCode", &[], code);
        }
        w.end();
        w.element("xroad:name", &[], client.name);
        if let Some(name) = client.subsystem_name {
            w.element("xroad:subsystemName", &[], name);
        }
        w.end();
    }
    w.finish()
}

/// The list as JSON.
pub fn to_json<'n>(clients: impl IntoIterator<Item = ListedClient<'n>>) -> String {
    let clients: Vec<ListedClient<'n>> = clients.into_iter().collect();
    let member = clients.iter().map(|client| Entry {
        id: Id {
            member_class: client.id.member().class(),
            member_code: client.id.member().code(),
            object_type: object_type(&client.id),
            subsystem_code: client.id.subsystem_code(),
            xroad_instance: client.id.instance(),
        },
        name: client.name,
        subsystem_name: client.subsystem_name,
    });
    serde_json::to_string(&List { member: member.collect() }).unwrap_or_default()
}

fn object_type(id: &ClientId) -> &'static str {
    if id.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" }
}

#[derive(Serialize)]
struct List<'n> {
    member: Vec<Entry<'n>>,
}

#[derive(Serialize)]
struct Entry<'n> {
    id: Id<'n>,
    name: &'n str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem_name: Option<&'n str>,
}

#[derive(Serialize)]
struct Id<'n> {
    member_class: &'n str,
    member_code: &'n str,
    object_type: &'n str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem_code: Option<&'n str>,
    xroad_instance: &'n str,
}

#[cfg(test)]
mod tests {
    use super::accepts_json;

    #[test]
    fn who_wants_json() {
        assert!(accepts_json(["application/json"]));
        assert!(accepts_json(["text/xml;q=1.0", "application/json;q=0.9 , text/*"]));
        assert!(accepts_json(["Application/JSON; charset=utf-8"]));
        assert!(!accepts_json([]));
        assert!(!accepts_json(["x-this/that;q=1.0;param=value", "text/xml, */*"]));
        assert!(!accepts_json(["application/json-rpc, application/*"]));
    }
}

//! Writing of shared parameters.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_identifiers::ClientId;
use causeway_xml::Writer;

use super::{
    AcmeServer, ApprovedCa, CaInfo, ConfigurationSource, CostType, GlobalGroup, Member,
    MemberClass, SecurityServer, SharedParameters,
};
use crate::structure::{IDENTIFIERS, XROAD};
use crate::{EncodedCertificate, GlobalConfError, Version};

const WHAT: &str = "shared parameters";
type Ids = HashMap<ClientId, String>;

pub(super) fn write(p: &SharedParameters, version: Version) -> Result<Vec<u8>, GlobalConfError> {
    let mut w = start("conf");
    w.element("instanceIdentifier", &[], &p.instance);
    if version >= Version::V3 {
        if p.sources.is_empty() {
            let why = format!("version {version} needs a configuration source");
            return Err(GlobalConfError::cannot_write(WHAT, why));
        }
        p.sources.iter().for_each(|source| write_source(&mut w, source));
    }
    p.approved_cas.iter().for_each(|ca| write_ca(&mut w, ca, version));
    for tsa in &p.approved_tsas {
        w.start("approvedTSA", &[]);
        w.element("name", &[], &tsa.name).element("url", &[], &tsa.url);
        certificate(&mut w, "cert", &tsa.certificate);
        write_cost(&mut w, tsa.cost, version);
        w.end();
    }
    let mut ids = Ids::new();
    for member in &p.members {
        write_member(&mut w, member, version, &mut ids)?;
    }
    for server in &p.security_servers {
        write_server(&mut w, server, version, &ids)?;
    }
    p.global_groups.iter().for_each(|group| write_group(&mut w, group));
    w.start("globalSettings", &[]);
    p.settings.member_classes.iter().for_each(|class| write_class(&mut w, class));
    w.element("ocspFreshnessSeconds", &[], &p.settings.ocsp_freshness_seconds.to_string());
    w.end();
    Ok(w.finish().into_bytes())
}

/// A document of the configuration, its root opened, with both namespaces declared.
pub(crate) fn start(root: &str) -> Writer {
    let mut w = Writer::indented();
    w.declaration();
    w.start(&format!("xroad:{root}"), &[("xmlns:id", IDENTIFIERS), ("xmlns:xroad", XROAD)]);
    w
}

/// An element whose content is a certificate.
pub(crate) fn certificate(w: &mut Writer, name: &str, certificate: &EncodedCertificate) {
    w.element(name, &[], &STANDARD.encode(certificate.bytes()));
}

/// An element whose content is a client's identifier.
pub(crate) fn client_id(w: &mut Writer, name: &str, id: &ClientId) {
    let object_type = if id.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    w.start(name, &[("id:objectType", object_type)]);
    w.element("id:xRoadInstance", &[], id.instance());
    w.element("id:memberClass", &[], id.member().class());
    w.element("id:memberCode", &[], id.member().code());
    if let Some(code) = id.subsystem_code() {
        w.element("id:subsystemCode", &[], code);
    }
    w.end();
}

fn optional(w: &mut Writer, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        w.element(name, &[], value);
    }
}

fn write_source(w: &mut Writer, source: &ConfigurationSource) {
    w.start("source", &[]);
    w.element("address", &[], &source.address);
    source.internal_certificates.iter().for_each(|c| certificate(w, "internalVerificationCert", c));
    source.external_certificates.iter().for_each(|c| certificate(w, "externalVerificationCert", c));
    w.end();
}

fn write_ca(w: &mut Writer, ca: &ApprovedCa, version: Version) {
    w.start("approvedCA", &[]);
    w.element("name", &[], &ca.name);
    w.element("authenticationOnly", &[], if ca.authentication_only { "true" } else { "false" });
    write_ca_info(w, "topCA", &ca.top, version);
    ca.intermediates.iter().for_each(|i| write_ca_info(w, "intermediateCA", i, version));
    w.element("certificateProfileInfo", &[], &ca.certificate_profile);
    if version >= Version::V6 {
        optional(w, "defaultCsrFormat", ca.csr_format.map(super::CsrFormat::name));
    }
    if let Some(acme) = ca.acme.as_ref().filter(|_| version >= Version::V3) {
        write_acme(w, acme, version);
    }
    w.end();
}

fn write_ca_info(w: &mut Writer, name: &str, ca: &CaInfo, version: Version) {
    w.start(name, &[]);
    certificate(w, "cert", &ca.certificate);
    for ocsp in &ca.ocsp {
        w.start("ocsp", &[]);
        w.element("url", &[], &ocsp.url);
        if let Some(c) = &ocsp.certificate {
            certificate(w, "cert", c);
        }
        write_cost(w, ocsp.cost, version);
        w.end();
    }
    w.end();
}

fn write_cost(w: &mut Writer, cost: Option<CostType>, version: Version) {
    if version >= Version::V6 {
        optional(w, "costType", cost.map(CostType::name));
    }
}

fn write_acme(w: &mut Writer, acme: &AcmeServer, version: Version) {
    w.start("acmeServer", &[]);
    w.element("directoryURL", &[], &acme.directory_url);
    optional(w, "ipAddress", acme.ip_address.as_deref());
    if version >= Version::V4 {
        let (auth, sign) = (&acme.authentication_profile, &acme.signing_profile);
        optional(w, "authenticationCertificateProfileId", auth.as_deref());
        optional(w, "signingCertificateProfileId", sign.as_deref());
    }
    w.end();
}

fn write_member(
    w: &mut Writer,
    member: &Member,
    version: Version,
    ids: &mut Ids,
) -> Result<(), GlobalConfError> {
    let id = define(ids, member.id.as_client())?;
    w.start("member", &[("id", &id)]);
    let class = MemberClass {
        code: member.id.class().to_owned(),
        description: member.class_description.clone(),
    };
    write_class(w, &class);
    w.element("memberCode", &[], member.id.code());
    w.element("name", &[], &member.name);
    for subsystem in &member.subsystems {
        let client = member.id.subsystem(&subsystem.code).map_err(|e| {
            GlobalConfError::cannot_write(WHAT, format!("subsystem of {}: {e}", member.id))
        })?;
        let id = define(ids, client)?;
        w.start("subsystem", &[("id", &id)]);
        w.element("subsystemCode", &[], &subsystem.code);
        if version >= Version::V5 {
            optional(w, "subsystemName", subsystem.name.as_deref());
        }
        w.end();
    }
    w.end();
    Ok(())
}

fn define(ids: &mut Ids, client: ClientId) -> Result<String, GlobalConfError> {
    let id = format!("id{}", ids.len());
    if ids.contains_key(&client) {
        return Err(GlobalConfError::cannot_write(WHAT, format!("{client} is there twice")));
    }
    ids.insert(client, id.clone());
    Ok(id)
}

fn write_server(
    w: &mut Writer,
    server: &SecurityServer,
    version: Version,
    ids: &Ids,
) -> Result<(), GlobalConfError> {
    let reference = |client: &ClientId| {
        ids.get(client).ok_or_else(|| {
            let why = format!("{} names {client}, which is not among the members", server.id);
            GlobalConfError::cannot_write(WHAT, why)
        })
    };
    w.start("securityServer", &[]);
    w.element("owner", &[], reference(&server.owner().as_client())?);
    w.element("serverCode", &[], server.id.code());
    optional(w, "address", server.address.as_deref());
    for hash in server.auth_cert_hashes.iter().filter_map(|hash| hash.for_document(version)) {
        w.element("authCertHash", &[], &STANDARD.encode(hash));
    }
    for client in &server.clients {
        w.element("client", &[], reference(client)?);
    }
    if let Some(maintenance) = server.maintenance.as_ref().filter(|_| version >= Version::V5) {
        w.start("inMaintenanceMode", &[]);
        optional(w, "message", maintenance.message.as_deref());
        w.end();
    }
    w.end();
    Ok(())
}

fn write_group(w: &mut Writer, group: &GlobalGroup) {
    w.start("globalGroup", &[]);
    w.element("groupCode", &[], &group.code).element("description", &[], &group.description);
    group.members.iter().for_each(|member| client_id(w, "groupMember", member));
    w.end();
}

fn write_class(w: &mut Writer, class: &MemberClass) {
    w.start("memberClass", &[]);
    w.element("code", &[], &class.code).element("description", &[], &class.description);
    w.end();
}

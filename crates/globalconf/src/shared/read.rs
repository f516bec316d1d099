//! Reading of shared parameters.

use std::collections::HashMap;

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_xml::{Element, Limits};

use super::{
    AcmeServer, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, CostType, CsrFormat,
    GlobalGroup, GlobalSettings, Maintenance, Member, MemberClass, OcspResponder, SecurityServer,
    SharedParameters, Subsystem,
};
use crate::structure::Structure;
use crate::{AuthCertificateHash, GlobalConfError, Version};

type Result<T> = std::result::Result<T, GlobalConfError>;
/// The identifiers behind the document's `xsd:ID` values; they mean nothing outside of it.
type Ids<'d> = HashMap<&'d str, ClientId>;

pub(super) fn read(xml: &[u8], version: Version) -> Result<SharedParameters> {
    let s = Structure::new("shared parameters");
    let document = s.document(xml, &Limits::for_global_configuration(), "conf")?;
    let root = document.root();
    let instance = s.text(root, "instanceIdentifier")?;

    let sources = match version {
        Version::V2 => Vec::new(),
        _ => s.all(root, "source").map(|e| source(s, e)).collect::<Result<Vec<_>>>()?,
    };
    if version > Version::V2 && sources.is_empty() {
        return Err(s.error("no 'source' in 'conf'"));
    }
    let mut ids = Ids::new();
    let members = s
        .all(root, "member")
        .map(|e| member(s, e, version, &instance, &mut ids))
        .collect::<Result<Vec<_>>>()?;
    Ok(SharedParameters {
        sources,
        approved_cas: s
            .all(root, "approvedCA")
            .map(|e| approved_ca(s, e, version))
            .collect::<Result<_>>()?,
        approved_tsas: s
            .all(root, "approvedTSA")
            .map(|e| approved_tsa(s, e, version))
            .collect::<Result<_>>()?,
        members,
        security_servers: s
            .all(root, "securityServer")
            .map(|e| security_server(s, e, version, &ids))
            .collect::<Result<_>>()?,
        global_groups: s
            .all(root, "globalGroup")
            .map(|e| global_group(s, e))
            .collect::<Result<_>>()?,
        settings: settings(s, s.one(root, "globalSettings")?)?,
        instance: if instance.trim().is_empty() {
            return Err(s.error("'instanceIdentifier' is empty"));
        } else {
            instance
        },
    })
}

fn source(s: Structure, e: Element<'_>) -> Result<ConfigurationSource> {
    Ok(ConfigurationSource {
        address: s.token(e, "address")?,
        internal_certificates: s.certificates(e, "internalVerificationCert")?,
        external_certificates: s.certificates(e, "externalVerificationCert")?,
    })
}

fn approved_ca(s: Structure, e: Element<'_>, version: Version) -> Result<ApprovedCa> {
    let authentication_only = match s.at_most_one(e, "authenticationOnly")? {
        Some(flag) => s.boolean(flag)?,
        None => false,
    };
    let csr_format = if version >= Version::V6 {
        choice(s, e, "defaultCsrFormat", CsrFormat::from_name)?
    } else {
        None
    };
    let acme = if version >= Version::V3 {
        s.at_most_one(e, "acmeServer")?.map(|a| acme_server(s, a, version)).transpose()?
    } else {
        None
    };
    Ok(ApprovedCa {
        name: s.text(e, "name")?,
        authentication_only,
        top: ca_info(s, s.one(e, "topCA")?, version)?,
        intermediates: s
            .all(e, "intermediateCA")
            .map(|ca| ca_info(s, ca, version))
            .collect::<Result<_>>()?,
        certificate_profile: s.text(e, "certificateProfileInfo")?.trim().to_owned(),
        csr_format,
        acme,
    })
}

fn ca_info(s: Structure, e: Element<'_>, version: Version) -> Result<CaInfo> {
    Ok(CaInfo {
        certificate: s.certificate(s.one(e, "cert")?)?,
        ocsp: s.all(e, "ocsp").map(|o| ocsp_responder(s, o, version)).collect::<Result<_>>()?,
    })
}

fn ocsp_responder(s: Structure, e: Element<'_>, version: Version) -> Result<OcspResponder> {
    let certificate = match s.at_most_one(e, "cert")? {
        Some(cert) if !cert.text().trim().is_empty() => Some(s.certificate(cert)?),
        _ => None,
    };
    Ok(OcspResponder {
        url: s.text(e, "url")?.trim().to_owned(),
        certificate,
        cost: cost(s, e, version)?,
    })
}

fn acme_server(s: Structure, e: Element<'_>, version: Version) -> Result<AcmeServer> {
    let profile = |name| if version >= Version::V4 { s.optional_text(e, name) } else { Ok(None) };
    Ok(AcmeServer {
        directory_url: s.token(e, "directoryURL")?,
        ip_address: s.optional_text(e, "ipAddress")?,
        authentication_profile: profile("authenticationCertificateProfileId")?,
        signing_profile: profile("signingCertificateProfileId")?,
    })
}

fn approved_tsa(s: Structure, e: Element<'_>, version: Version) -> Result<ApprovedTsa> {
    Ok(ApprovedTsa {
        name: s.text(e, "name")?,
        url: s.text(e, "url")?.trim().to_owned(),
        certificate: s.certificate(s.one(e, "cert")?)?,
        cost: cost(s, e, version)?,
    })
}

fn cost(s: Structure, e: Element<'_>, version: Version) -> Result<Option<CostType>> {
    if version >= Version::V6 { choice(s, e, "costType", CostType::from_name) } else { Ok(None) }
}

fn choice<T>(
    s: Structure,
    e: Element<'_>,
    name: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    let Some(child) = s.at_most_one(e, name)? else { return Ok(None) };
    let text = child.text();
    match read(text.trim()) {
        Some(value) => Ok(Some(value)),
        None => Err(s.error(format!("'{name}' has a value that is not allowed"))),
    }
}

fn member<'d>(
    s: Structure,
    e: Element<'d>,
    version: Version,
    instance: &str,
    ids: &mut Ids<'d>,
) -> Result<Member> {
    let class = s.one(e, "memberClass")?;
    let id = MemberId::new(instance, &s.text(class, "code")?, &s.text(e, "memberCode")?)
        .map_err(|error| s.error(format!("'member': {error}")))?;
    define(s, ids, e, id.as_client())?;
    let mut subsystems = Vec::new();
    for child in s.all(e, "subsystem") {
        let code = s.text(child, "subsystemCode")?;
        let client = id
            .subsystem(&code)
            .map_err(|error| s.error(format!("'subsystem' of {id}: {error}")))?;
        define(s, ids, child, client)?;
        let name = s.optional_text(child, "subsystemName")?.filter(|_| version >= Version::V5);
        subsystems.push(Subsystem { code, name });
    }
    Ok(Member {
        id,
        class_description: s.text(class, "description")?,
        name: s.text(e, "name")?,
        subsystems,
    })
}

fn define<'d>(s: Structure, ids: &mut Ids<'d>, e: Element<'d>, client: ClientId) -> Result<()> {
    let Some(id) = e.attribute("id") else { return Ok(()) };
    match ids.insert(id.trim(), client) {
        None => Ok(()),
        Some(_) => Err(s.error(format!("the id '{id}' is used twice"))),
    }
}

fn resolve(s: Structure, ids: &Ids<'_>, e: Element<'_>) -> Result<ClientId> {
    let reference = e.text();
    ids.get(reference.trim()).cloned().ok_or_else(|| {
        s.error(format!("'{}' refers to '{}', which is not there", e.name(), reference.trim()))
    })
}

fn security_server(
    s: Structure,
    e: Element<'_>,
    version: Version,
    ids: &Ids<'_>,
) -> Result<SecurityServer> {
    let owner = resolve(s, ids, s.one(e, "owner")?)?;
    if owner.subsystem_code().is_some() {
        return Err(s.error(format!("'owner' refers to the subsystem {owner}")));
    }
    let id = SecurityServerId::new(owner.member().clone(), &s.text(e, "serverCode")?)
        .map_err(|error| s.error(format!("'securityServer' of {owner}: {error}")))?;
    let maintenance = match s.at_most_one(e, "inMaintenanceMode")? {
        Some(mode) if version >= Version::V5 => {
            Some(Maintenance { message: s.optional_text(mode, "message")? })
        }
        _ => None,
    };
    Ok(SecurityServer {
        id,
        address: s
            .optional_text(e, "address")?
            .map(|a| a.trim().to_owned())
            .filter(|a| !a.is_empty()),
        auth_cert_hashes: s
            .all(e, "authCertHash")
            .map(|h| Ok(AuthCertificateHash::from_document(version, &s.bytes(h)?)))
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?,
        clients: s.all(e, "client").map(|c| resolve(s, ids, c)).collect::<Result<_>>()?,
        maintenance,
    })
}

fn global_group(s: Structure, e: Element<'_>) -> Result<GlobalGroup> {
    Ok(GlobalGroup {
        code: s.text(e, "groupCode")?,
        description: s.text(e, "description")?,
        members: s.all(e, "groupMember").map(|m| s.client_id(m)).collect::<Result<_>>()?,
    })
}

fn settings(s: Structure, e: Element<'_>) -> Result<GlobalSettings> {
    Ok(GlobalSettings {
        member_classes: s
            .all(e, "memberClass")
            .map(|c| {
                Ok(MemberClass { code: s.text(c, "code")?, description: s.text(c, "description")? })
            })
            .collect::<Result<_>>()?,
        ocsp_freshness_seconds: s.number(e, "ocspFreshnessSeconds")?,
    })
}

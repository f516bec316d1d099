//! The schemas of the registry's OpenAPI text. Their names are X-Road's.

use serde_json::{Map, Value, json};

fn text() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer", "format": "int32" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object; the names of members that may be missing end with `?`.
fn object(members: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in members {
        match name.strip_suffix('?') {
            Some(name) => drop(properties.insert(name.to_owned(), schema.clone())),
            None => {
                properties.insert((*name).to_owned(), schema.clone());
                required.push(*name);
            }
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn file() -> Value {
    json!({ "type": "string", "format": "binary" })
}

fn settings(with_file: bool) -> Vec<(&'static str, Value)> {
    let profile = if with_file { "certificate_profile_info" } else { "certificate_profile_info?" };
    let mut settings = vec![
        (profile, text()),
        ("tls_auth?", text()),
        ("default_csr_format?", text()),
        ("acme_server_directory_url?", text()),
        ("acme_server_ip_address?", text()),
    ];
    if with_file {
        settings.push(("certificate", file()));
    }
    settings
}

/// All of them.
pub(super) fn all() -> Map<String, Value> {
    let member = [("member_class", text()), ("member_code", text())];
    let with = |more: &[(&'static str, Value)]| object(&[&member[..], more].concat());
    let identifier = [("instance_id", text()), ("type", text()), ("encoded_id", text())];
    let identified =
        |more: &[(&'static str, Value)]| object(&[&member[..], &identifier[..], more].concat());
    let schemas = [
        ("MemberClass", object(&[("code", text()), ("description", text())])),
        ("MemberClassDescription", object(&[("description", text())])),
        ("NewMemberId", with(&[])),
        ("NewSubsystemId", with(&[("subsystem_code", text())])),
        ("ClientId", identified(&[("subsystem_code?", text())])),
        ("SecurityServerId", identified(&[("server_code", text())])),
        ("MemberAdd", object(&[("member_name", text()), ("member_id", of("NewMemberId"))])),
        ("MemberName", object(&[("member_name", text())])),
        ("SubsystemName", object(&[("subsystem_name?", text())])),
        (
            "SubsystemAdd",
            object(&[("subsystem_id", of("NewSubsystemId")), ("subsystem_name?", text())]),
        ),
        ("Client", object(&[("client_id", of("ClientId")), ("member_name", text())])),
        (
            "UsedSecurityServer",
            object(&[
                ("encoded_id", text()),
                ("server_code", text()),
                ("server_owner?", text()),
                ("status", text()),
            ]),
        ),
        (
            "Subsystem",
            object(&[
                ("subsystem_id", of("ClientId")),
                ("subsystem_name?", text()),
                ("used_security_servers", list(of("UsedSecurityServer"))),
            ]),
        ),
        ("MemberGlobalGroup", object(&[("group_code", text()), ("subsystem", text())])),
        (
            "SecurityServer",
            object(&[
                ("server_id", of("SecurityServerId")),
                ("owner_name?", text()),
                ("server_address", text()),
                ("in_maintenance_mode", flag()),
                ("maintenance_mode_message?", text()),
            ]),
        ),
        ("SecurityServerAddress", object(&[("server_address", text())])),
        (
            "PagingMetadata",
            object(&[
                ("total_items", integer()),
                ("items", integer()),
                ("limit", integer()),
                ("offset", integer()),
            ]),
        ),
        (
            "PagedClients",
            object(&[("clients", list(of("Client"))), ("paging_metadata", of("PagingMetadata"))]),
        ),
        (
            "PagedSecurityServers",
            object(&[
                ("items", list(of("SecurityServer"))),
                ("paging_metadata", of("PagingMetadata")),
            ]),
        ),
        ("GlobalGroupCodeAndDescription", object(&[("code", text()), ("description", text())])),
        ("GlobalGroupDescription", object(&[("description", text())])),
        (
            "GlobalGroupResource",
            object(&[("code", text()), ("description", text()), ("member_count", integer())]),
        ),
        ("Members", object(&[("items", list(text()))])),
        (
            "CertificateDetails",
            object(&[
                ("id?", integer()),
                ("hash", text()),
                ("version", integer()),
                ("serial", text()),
                ("issuer_distinguished_name", text()),
                ("issuer_common_name", text()),
                ("subject_distinguished_name", text()),
                ("subject_common_name", text()),
                ("not_before", time()),
                ("not_after", time()),
                ("key_usages", list(text())),
                ("subject_alternative_names", text()),
                ("signature", text()),
                ("signature_algorithm", text()),
                ("public_key_algorithm", text()),
                ("rsa_public_key_modulus?", text()),
                ("rsa_public_key_exponent?", integer()),
                ("ec_public_parameters?", text()),
                ("ec_public_key_point?", text()),
            ]),
        ),
        (
            "ApprovedCertificationServiceListItem",
            object(&[
                ("id", integer()),
                ("name", text()),
                ("not_before", time()),
                ("not_after", time()),
            ]),
        ),
        (
            "ApprovedCertificationService",
            object(&[
                ("id", integer()),
                ("name", text()),
                ("issuer_distinguished_name", text()),
                ("subject_distinguished_name", text()),
                ("not_before", time()),
                ("not_after", time()),
                ("certificate_profile_info", text()),
                ("tls_auth", flag()),
                ("default_csr_format?", text()),
                ("acme_server_directory_url?", text()),
                ("acme_server_ip_address?", text()),
            ]),
        ),
        (
            "CertificateAuthority",
            object(&[("id", integer()), ("ca_certificate", of("CertificateDetails"))]),
        ),
        (
            "OcspResponder",
            object(&[
                ("id", integer()),
                ("url", text()),
                ("cost_type", text()),
                ("has_certificate", flag()),
            ]),
        ),
        (
            "TimestampingService",
            object(&[
                ("id", integer()),
                ("url", text()),
                ("cost_type", text()),
                ("certificate", of("CertificateDetails")),
                ("timestamping_interval", integer()),
            ]),
        ),
        (
            "InitializationStatus",
            object(&[
                ("instance_identifier", text()),
                ("central_server_address", text()),
                ("software_token_init_status", text()),
            ]),
        ),
        ("HighAvailabilityStatus", object(&[("is_ha_configured", flag())])),
        (
            "SystemStatus",
            object(&[
                ("initialization_status", of("InitializationStatus")),
                ("high_availability_status", of("HighAvailabilityStatus")),
            ]),
        ),
        ("Version", object(&[("info", text())])),
        ("TrustedAnchorFile", object(&[("anchor", file())])),
        (
            "TrustedAnchor",
            object(&[("instance_identifier", text()), ("hash", text()), ("generated_at?", time())]),
        ),
        ("GlobalConfDownloadUrl", object(&[("url", text())])),
        (
            "HighAvailabilityClusterStatus",
            object(&[
                ("is_ha_configured", flag()),
                ("all_nodes_ok", flag()),
                ("nodes", list(json!({ "type": "object" }))),
            ]),
        ),
        ("CertificationServiceSettings", object(&settings(false))),
        ("CertificationServiceFileAndSettings", object(&settings(true))),
        ("CertificateFile", object(&[("certificate", file())])),
        (
            "OcspResponderFile",
            object(&[("url", text()), ("cost_type", text()), ("certificate?", file())]),
        ),
        (
            "TimestampingServiceFile",
            object(&[("url", text()), ("cost_type", text()), ("certificate", file())]),
        ),
        (
            "TimestampingServiceChange",
            object(&[("url?", text()), ("cost_type?", text()), ("certificate?", file())]),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

//! Error codes, as X-Road 7.8 writes them (`ErrorCodes.java`): lower snake
//! case, joined by dots behind the prefix of the place where they arose.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        /// Every code of this table, for tests and documentation.
        pub const ALL: &[&str] = &[$($value),*];
    };
}

/// Prefix of errors that arise at the consumer's security server.
pub const CLIENT_PROXY: &str = "server.clientproxy";
/// Prefix of errors that arise at the provider's security server.
pub const SERVER_PROXY: &str = "server.serverproxy";
/// Prefix of errors that the client program caused.
pub const CLIENT: &str = "client";

codes! {
    /// Access rights do not allow the request.
    ACCESS_DENIED = "access_denied";
    /// A request that cannot be understood.
    BAD_REQUEST = "bad_request";
    /// A certificate path could not be built.
    CANNOT_CREATE_CERT_PATH = "cannot_create_cert_path";
    /// A message could not be signed.
    CANNOT_CREATE_SIGNATURE = "cannot_create_signature";
    /// A certificate is not valid: revoked, unknown, or no OCSP response.
    CERT_VALIDATION = "cert_validation";
    /// A header field that must be alone is repeated.
    DUPLICATE_HEADER_FIELD = "duplicate_header_field";
    /// The global configuration has expired.
    GLOBAL_CONF_OUTDATED = "global_conf_outdated";
    /// Inputs that the hash chain does not cover.
    HASHCHAIN_UNUSED_INPUTS = "hashchain_unused_inputs";
    /// The other side answered with an HTTP status that means failure.
    HTTP_ERROR = "http_error";
    /// A certificate that may not sign this, or belongs to somebody else.
    INCORRECT_CERTIFICATE = "incorrect_certificate";
    /// An OCSP response that does not fit, is stale, or is signed by a stranger.
    INCORRECT_VALIDATION_INFO = "incorrect_validation_info";
    /// Request and response do not belong together.
    INCONSISTENT_RESPONSE = "inconsistent_response";
    /// SOAP body or headers contradict each other.
    INCONSISTENT_HEADERS = "inconsistent_headers";
    /// An error of the server itself, or a request that it could not read.
    INTERNAL_ERROR = "internal_error";
    /// A body that is not what the protocol asks.
    INVALID_BODY = "invalid_body";
    /// A certificate path that does not hold.
    INVALID_CERT_PATH = "invalid_cert_path";
    /// The client identifier is missing or cannot be read.
    INVALID_CLIENT_IDENTIFIER = "invalid_client_identifier";
    /// A content type that is not allowed here.
    INVALID_CONTENT_TYPE = "invalid_content_type";
    /// A hash chain whose result differs.
    INVALID_HASH_CHAIN = "invalid_hash_chain";
    /// A reference of a hash chain whose digest differs.
    INVALID_HASH_CHAIN_REF = "invalid_hash_chain_ref";
    /// An HTTP method that is not allowed here.
    INVALID_HTTP_METHOD = "invalid_http_method";
    /// A message whose parts do not follow the protocol.
    INVALID_MESSAGE = "invalid_message";
    /// A protocol version that is not spoken here.
    INVALID_PROTOCOL_VERSION = "invalid_protocol_version";
    /// A reference that cannot be resolved.
    INVALID_REFERENCE = "invalid_reference";
    /// A target security server that does not serve the provider.
    INVALID_SECURITY_SERVER = "invalid_security_server";
    /// A request that is not what the service asks for.
    INVALID_REQUEST = "invalid_request";
    /// A signature value, or a digest under it, that does not hold.
    INVALID_SIGNATURE_VALUE = "invalid_signature_value";
    /// Not a SOAP message.
    INVALID_SOAP = "invalid_soap";
    /// A `SOAPAction` header that is not a URI in quotes.
    INVALID_SOAP_ACTION = "invalid_soap_action";
    /// Not well-formed XML.
    INVALID_XML = "invalid_xml";
    /// Reading or writing failed.
    IO_ERROR = "io_error";
    /// The message could not be logged, so it was not relayed.
    LOGGING_FAILED = "logging_failed";
    /// The server is in maintenance.
    MAINTENANCE_MODE = "maintenance_mode";
    /// The global configuration cannot be read.
    MALFORMED_GLOBAL_CONF = "malformed_global_conf";
    /// A hash chain that cannot be read.
    MALFORMED_HASH_CHAIN = "malformed_hash_chain";
    /// A signature that cannot be read, or does not cover what it must.
    MALFORMED_SIGNATURE = "malformed_signature";
    /// A multipart that cannot be read.
    MIME_PARSING_FAILED = "mime_parsing_failed";
    /// A SOAP message without a body.
    MISSING_BODY = "missing_body";
    /// A SOAP message without a header.
    MISSING_HEADER = "missing_header";
    /// A mandatory header field is missing.
    MISSING_HEADER_FIELD = "missing_header_field";
    /// A REST message is missing where one must be.
    MISSING_REST = "missing_rest";
    /// A signature is missing where one must be.
    MISSING_SIGNATURE = "missing_signature";
    /// A SOAP message is missing where one must be.
    MISSING_SOAP = "missing_soap";
    /// The other side could not be reached.
    NETWORK_ERROR = "network_error";
    /// The provider has disabled the service.
    SERVICE_DISABLED = "service_disabled";
    /// The service, or the way to it, failed.
    SERVICE_FAILED = "service_failed";
    /// A service without a usable address.
    SERVICE_MALFORMED_URL = "service_malformed_url";
    /// A REST service called as SOAP, or the other way round.
    SERVICE_TYPE = "service_type";
    /// A service for which no address is configured.
    SERVICE_MISSING_URL = "service_missing_url";
    /// Verifying a signature failed; followed by the reason.
    SIGNATURE_VERIFICATION = "signature_verification";
    /// A TLS peer, or its certificate, is not the one that it must be.
    SSL_AUTHENTICATION_FAILED = "ssl_authentication_failed";
    /// Timestamping has failed for longer than is allowed.
    TIMESTAMPING_FAILED = "timestamping_failed";
    /// A host name that cannot be resolved.
    UNKNOWN_HOST = "unknown_host";
    /// A member or subsystem that is not registered.
    UNKNOWN_MEMBER = "unknown_member";
    /// A service that the provider does not have.
    UNKNOWN_SERVICE = "unknown_service";
    /// A peer whose version is too old for this server.
    CLIENT_PROXY_VERSION_NOT_SUPPORTED = "client_proxy_version_not_supported";
    /// No timestamping authority is configured.
    NO_TIMESTAMPING_PROVIDER = "mlog.no_timestamping_provider_found";
}

/// The form that X-Road 7.7 and older give a code: `server.clientproxy.unknown_member`
/// becomes `Server.ClientProxy.UnknownMember`.
pub fn to_camel_case(code: &str) -> String {
    code.split('.')
        .map(|segment| match segment {
            "clientproxy" => "ClientProxy".to_owned(),
            "serverproxy" => "ServerProxy".to_owned(),
            "service_type" => "InvalidServiceType".to_owned(),
            "cannot_create_cert_path" => "CannotCreateCertPath".to_owned(),
            "global_conf_outdated" => "OutdatedGlobalConf".to_owned(),
            "io_error" => "IOError".to_owned(),
            "mlog" => "MLog".to_owned(),
            other => other.split('_').map(capitalized).collect(),
        })
        .collect::<Vec<String>>()
        .join(".")
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_older_generation_of_codes() {
        assert_eq!(
            super::to_camel_case("server.serverproxy.access_denied"),
            "Server.ServerProxy.AccessDenied"
        );
        assert_eq!(super::to_camel_case("client.invalid_soap"), "Client.InvalidSoap");
        assert_eq!(
            super::to_camel_case("server.serverproxy.service_failed.unknown_host"),
            "Server.ServerProxy.ServiceFailed.UnknownHost"
        );
    }

    #[test]
    fn codes_are_unique_snake_case() {
        let mut seen = std::collections::HashSet::new();
        for code in super::ALL {
            assert!(seen.insert(code), "{code} twice");
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.'),
                "{code}"
            );
        }
    }
}

//! Why the registry does not do what a request asks for.

use causeway_message::{Fault, codes};

use crate::edit::EditError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// A refusal: X-Road's code and HTTP status for it, what is wrong, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct RequestError {
    code: &'static str,
    status: u16,
    text: String,
    next: String,
}

/// X-Road's codes (`ErrorMessage` of the central server) with their HTTP status.
pub(super) mod reason {
    pub(crate) type Reason = (&'static str, u16);
    pub(crate) const NOT_FOUND: Reason = ("management_request_not_found", 404);
    pub(crate) const EXISTS: Reason = ("management_request_exists", 409);
    pub(crate) const CERTIFICATE_EXISTS: Reason =
        ("management_request_security_server_exists", 409);
    pub(crate) const BAD_CERTIFICATE: Reason = ("management_request_invalid_auth_certificate", 400);
    pub(crate) const NO_CERTIFICATE: Reason = ("management_request_invalid_auth_certificate", 409);
    pub(crate) const NOT_APPROVABLE: Reason =
        ("management_request_invalid_state_for_approval", 400);
    pub(crate) const NOT_PENDING: Reason = ("management_request_invalid_state", 400);
    pub(crate) const NOT_SUPPORTED: Reason = ("management_request_not_supported", 409);
    pub(crate) const NO_OWNER: Reason = ("management_request_server_owner_not_found", 404);
    pub(crate) const CLIENT_IS_OWNER: Reason = ("management_request_cannot_register_owner", 400);
    pub(crate) const NO_MEMBER: Reason = ("management_request_member_not_found", 409);
    pub(crate) const NO_SERVER: Reason = ("management_request_server_not_found", 404);
    pub(crate) const NO_SERVER_NOW: Reason = ("management_request_server_not_found", 409);
    pub(crate) const NO_SERVER_FOR_CLIENT: Reason = ("management_request_server_not_found", 400);
    pub(crate) const OTHER_SERVER: Reason = ("security_server_not_found", 404);
    pub(crate) const NO_REGISTRATION: Reason =
        ("management_request_client_registration_not_found", 404);
    pub(crate) const CLIENT_EXISTS: Reason = ("management_request_client_already_registered", 409);
    pub(crate) const OWNER_NOT_MEMBER: Reason = ("management_request_owner_must_be_member", 400);
    pub(crate) const OWNER_NOT_CLIENT: Reason = ("management_request_owner_must_be_client", 400);
    pub(crate) const OWNER_ALREADY: Reason = ("management_request_client_already_owner", 400);
    pub(crate) const SERVER_CODE_EXISTS: Reason = ("management_request_server_code_exists", 409);
    pub(crate) const BAD_ADDRESS: Reason = ("management_request_invalid_server_address", 400);
    pub(crate) const BAD_NAME: Reason = ("management_request_invalid_subsystem_name", 400);
    pub(crate) const NOT_SUBSYSTEM: Reason =
        ("management_request_only_subsystem_rename_allowed", 400);
    pub(crate) const NO_CLIENT: Reason = ("management_request_server_client_not_found", 409);
    pub(crate) const PROVIDER_STAYS: Reason =
        ("mr_forbidden_disable_management_service_client", 409);
    pub(crate) const PROVIDER_SERVES: Reason =
        ("mr_forbidden_enable_maintenance_mode_for_management_service", 409);
    pub(crate) const IN_MAINTENANCE: Reason =
        ("management_request_server_already_in_maintenance_mode", 409);
    pub(crate) const NOT_IN_MAINTENANCE: Reason =
        ("management_request_server_not_in_maintenance_mode", 409);
    pub(crate) const NO_CLASS: Reason = ("member_class_not_found", 404);
    pub(crate) const INVALID: Reason = ("validation_failure", 400);
    pub(crate) const FAILED: Reason = (super::codes::INTERNAL_ERROR, 500);
}

impl RequestError {
    pub(super) fn new(
        (code, status): reason::Reason,
        text: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { code, status, text: text.into(), next: next.into() }
    }

    /// X-Road's code, e.g. `management_request_exists`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The HTTP status that X-Road's administration gives for it.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What to do next.
    pub fn next_step(&self) -> &str {
        &self.next
    }

    /// The fault that the security server gets, in X-Road's words (`FeignRestErrorDecoder`).
    pub fn to_fault(&self) -> Fault {
        let text = format!("{} with statusCode {}", self.code, self.status);
        Fault::new(codes::INTERNAL_ERROR, text)
    }
}

/// A rule of the records that no rule of the requests has caught.
impl From<EditError> for RequestError {
    fn from(e: EditError) -> Self {
        let reason = match e {
            EditError::Store(_) => reason::FAILED,
            EditError::Exists(..) => reason::EXISTS,
            _ => reason::INVALID,
        };
        Self::new(reason, e.to_string(), e.next_step())
    }
}

impl From<RegistryError> for RequestError {
    fn from(e: RegistryError) -> Self {
        Self::new(reason::FAILED, e.to_string(), e.next_step())
    }
}

impl From<StoreError> for RequestError {
    fn from(e: StoreError) -> Self {
        RegistryError::from(e).into()
    }
}

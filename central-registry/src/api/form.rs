//! Forms with files, as the registry's routes take them.

use causeway_admin::http::multipart::Field;
use causeway_admin::http::{Call, Problem};
use causeway_pki::Certificate;

/// A form's fields by name.
pub(super) struct Form<'f>(Vec<Field<'f>>);

impl<'f> Form<'f> {
    pub(super) fn of(call: &'f Call) -> Result<Self, Problem> {
        Ok(Self(call.fields()?))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'f [u8]> {
        self.0.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// A text; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.find(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Problem::invalid_field(name, "is not UTF-8")),
        }
    }

    pub(super) fn required(&self, name: &str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| Problem::invalid_field(name, "NotBlank"))
    }

    /// A certificate, PEM or DER.
    pub(super) fn certificate(&self) -> Result<Option<Certificate>, Problem> {
        let Some(bytes) = self.find("certificate").filter(|bytes| !bytes.is_empty()) else {
            return Ok(None);
        };
        let read = Certificate::from_der_or_pem(bytes);
        read.map(Some).map_err(|e| Problem::bad("invalid_certificate", e.to_string()))
    }

    pub(super) fn required_certificate(&self) -> Result<Certificate, Problem> {
        self.certificate()?.ok_or_else(|| Problem::invalid_field("certificate", "NotBlank"))
    }
}

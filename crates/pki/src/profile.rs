//! Certificate profiles: where in a certificate's subject a member stands, and which subject to ask for
//! in a request. Each authority's entry in the global configuration names its profile by a Java class.

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};

use crate::{Certificate, PkiError};

const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";
const COUNTRY: &str = "2.5.4.6";
const ORGANIZATION: &str = "2.5.4.10";
const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
const BUSINESS_CATEGORY: &str = "2.5.4.15";
const ORGANIZATION_IDENTIFIER: &str = "2.5.4.97";

/// A certificate profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateProfile {
    /// Instance, class and code in C, O and CN.
    Ejbca,
    /// Finland.
    FiVrk,
    /// The Faroe Islands.
    Fo,
    /// Iceland.
    Is,
    /// Class in businessCategory, code in serialNumber.
    Basic,
    /// As [`Self::Basic`], for authorities that speak ACME.
    BasicAcme,
    /// Estonia: SK's KLASS3, organisations.
    SkKlass3,
    /// Estonia: identity cards, persons.
    SkEsteId,
}

/// One attribute of a subject to ask for: short name as [`crate::name::attribute_oid`] knows it, and value.
pub type SubjectField = (&'static str, String);

impl CertificateProfile {
    /// All profiles with the last segment of their class names.
    const CLASSES: [(Self, &'static str); 8] = [
        (Self::Ejbca, "EjbcaCertificateProfileInfoProvider"),
        (Self::FiVrk, "FiVRKCertificateProfileInfoProvider"),
        (Self::Fo, "FoCertificateProfileInfoProvider"),
        (Self::Is, "IsCertificateProfileInfoProvider"),
        (Self::Basic, "BasicCertificateProfileInfoProvider"),
        (Self::BasicAcme, "BasicACMECertificateProfileInfoProvider"),
        (Self::SkKlass3, "SkKlass3CertificateProfileInfoProvider"),
        (Self::SkEsteId, "SkEsteIdCertificateProfileInfoProvider"),
    ];

    /// The profile that a `certificateProfileInfo` names: by the last segment of the class name, whatever
    /// the package, in any case of letters (documents and code disagree on `ACME`).
    pub fn from_class_name(class: &str) -> Option<Self> {
        let last = class.trim().rsplit('.').next()?;
        Self::CLASSES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(last))
            .map(|(profile, _)| *profile)
    }

    /// The full class name, as written into shared parameters.
    pub fn class_name(self) -> String {
        let last =
            Self::CLASSES.iter().find(|(profile, _)| *profile == self).map(|(_, name)| *name);
        format!("ee.ria.xroad.common.certificateprofile.impl.{}", last.unwrap_or_default())
    }

    /// The member that a signing certificate belongs to. Profiles that do not write the instance take that
    /// of the `expected` client. The caller compares the result with the client's member.
    ///
    /// # Errors
    /// [`PkiError::IncorrectCertificate`] when the subject does not follow the profile.
    pub fn member(&self, cert: &Certificate, expected: &ClientId) -> Result<MemberId, PkiError> {
        let subject = Subject(cert);
        let (instance, class, code) = match self {
            Self::Ejbca => subject.plain()?,
            Self::FiVrk => subject.finnish()?,
            Self::Fo => subject.nordic("FO")?,
            Self::Is => {
                if subject.get(SERIAL_NUMBER).is_none()
                    && subject.get(ORGANIZATIONAL_UNIT).is_none()
                {
                    subject.plain()?
                } else {
                    subject.nordic("IS")?
                }
            }
            Self::Basic | Self::BasicAcme => {
                let class = subject.need(BUSINESS_CATEGORY, "business category")?;
                let code = subject.need(SERIAL_NUMBER, "serial number")?;
                (expected.instance().to_owned(), class, code)
            }
            Self::SkKlass3 => {
                let (class, code) = subject.estonian_organization()?;
                (expected.instance().to_owned(), class, code)
            }
            Self::SkEsteId => {
                let code = subject.need(SERIAL_NUMBER, "serial number")?;
                (expected.instance().to_owned(), "PERSON".into(), code)
            }
        };
        MemberId::new(&instance, &class, &code).map_err(|error| incorrect(error.to_string()))
    }

    /// The subject to ask for in a request for a signing certificate, in order. `name` is the member's
    /// name. Fields that the operator must fill in (a country) are left out.
    pub fn sign_subject(
        &self,
        server: &SecurityServerId,
        member: &MemberId,
        name: &str,
    ) -> Vec<SubjectField> {
        let (instance, class, code) = (member.instance(), member.class(), member.code());
        match self {
            Self::Ejbca => fields(&[("C", instance), ("O", class), ("CN", code)]),
            Self::FiVrk => {
                let serial = format!("{instance}/{}/{class}", server.code());
                fields(&[("C", "FI"), ("O", name), ("serialNumber", &serial), ("CN", code)])
            }
            Self::Fo | Self::Is => {
                let country = if *self == Self::Fo { "FO" } else { "IS" };
                fields(&[
                    ("C", country),
                    ("O", instance),
                    ("OU", class),
                    ("CN", code),
                    ("serialNumber", &server.to_short()),
                ])
            }
            Self::Basic | Self::BasicAcme => fields(&[
                ("CN", name),
                ("O", name),
                ("businessCategory", class),
                ("serialNumber", code),
            ]),
            Self::SkKlass3 => fields(&[("serialNumber", code), ("CN", name)]),
            Self::SkEsteId => Vec::new(),
        }
    }

    /// The subject to ask for in a request for an authentication certificate, in order. `name` is the
    /// owner's name, `dns` the server's DNS name.
    pub fn auth_subject(
        &self,
        server: &SecurityServerId,
        name: &str,
        dns: &str,
    ) -> Vec<SubjectField> {
        let owner = server.owner();
        let (instance, class, code) = (owner.instance(), owner.class(), owner.code());
        match self {
            Self::Ejbca => fields(&[("C", instance), ("CN", server.code())]),
            Self::FiVrk => {
                let serial = format!("{instance}/{}/{class}", server.code());
                fields(&[("C", "FI"), ("O", name), ("serialNumber", &serial), ("CN", dns)])
            }
            Self::Fo => fields(&[("C", "FO"), ("O", instance), ("CN", &server.to_short())]),
            Self::Is => fields(&[("C", "IS"), ("CN", dns), ("serialNumber", &server.to_short())]),
            Self::Basic | Self::BasicAcme => {
                fields(&[("CN", dns), ("serialNumber", code), ("O", name)])
            }
            Self::SkKlass3 => fields(&[("serialNumber", code), ("CN", name)]),
            Self::SkEsteId => Vec::new(),
        }
    }
}

fn fields(pairs: &[(&'static str, &str)]) -> Vec<SubjectField> {
    pairs.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect()
}

fn incorrect(why: impl Into<String>) -> PkiError {
    PkiError::IncorrectCertificate(why.into())
}

type Member = (String, String, String);

struct Subject<'a>(&'a Certificate);

impl Subject<'_> {
    fn get(&self, oid: &str) -> Option<String> {
        self.0.subject_attribute(oid)
    }

    fn need(&self, oid: &str, what: &str) -> Result<String, PkiError> {
        self.get(oid)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| incorrect(format!("Certificate subject name does not contain {what}")))
    }

    fn need_country(&self, country: &str) -> Result<(), PkiError> {
        if self.get(COUNTRY).as_deref() == Some(country) {
            return Ok(());
        }
        Err(incorrect("Certificate subject name does not contain valid country code"))
    }

    fn plain(&self) -> Result<Member, PkiError> {
        Ok((
            self.need(COUNTRY, "country code")?,
            self.need(ORGANIZATION, "organization")?,
            self.need(COMMON_NAME, "common name")?,
        ))
    }

    /// C, O (instance), OU (class), CN (code).
    fn by_unit(&self, country: &str) -> Result<Member, PkiError> {
        self.need_country(country)?;
        Ok((
            self.need(ORGANIZATION, "organization")?,
            self.need(ORGANIZATIONAL_UNIT, "organization unit")?,
            self.need(COMMON_NAME, "common name")?,
        ))
    }

    fn nordic(&self, country: &str) -> Result<Member, PkiError> {
        let member = self.by_unit(country)?;
        self.need(SERIAL_NUMBER, "serial number")?;
        Ok(member)
    }

    fn finnish(&self) -> Result<Member, PkiError> {
        let Some(serial) = self.get(SERIAL_NUMBER) else {
            return match self.get(ORGANIZATIONAL_UNIT) {
                None => self.plain(),
                Some(_) => self.by_unit("FI"),
            };
        };
        self.need_country("FI")?;
        self.need(ORGANIZATION, "organization")?;
        let code = self.need(COMMON_NAME, "common name")?;
        // instance/server code/class; Java's split drops empty segments at the end
        match serial.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            [instance, _server, class] => Ok(((*instance).to_owned(), (*class).to_owned(), code)),
            _ => Err(incorrect(
                "Certificate subject name's attribute serialNumber has invalid value",
            )),
        }
    }

    fn estonian_organization(&self) -> Result<(String, String), PkiError> {
        match self.get(ORGANIZATION_IDENTIFIER).filter(|id| !id.is_empty()) {
            Some(id) => {
                let prefixes = [("NTREE-", "COM"), ("GO:EE-", "GOV"), ("NP:EE-", "NGO")];
                let known = prefixes.iter().find_map(|(prefix, class)| {
                    id.strip_prefix(prefix).map(|code| ((*class).to_owned(), code.to_owned()))
                });
                Ok(known.unwrap_or_else(|| ("NEE".to_owned(), id)))
            }
            None => {
                let serial = self.need(SERIAL_NUMBER, "serial number")?;
                if serial.len() != 8 || !serial.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(incorrect("Serial number must be 8 digits long"));
                }
                let class = match serial.as_bytes().first() {
                    Some(b'1'..=b'6') => "COM",
                    Some(b'7') => "GOV",
                    Some(b'8' | b'9') => "NGO",
                    _ => return Err(incorrect(format!("Malformed serial number: {serial}"))),
                };
                Ok((class.to_owned(), serial))
            }
        }
    }
}

//! Distinguished names: read from DER, written as text the way Java peers write them, compared the
//! way PKIX compares them, and built from attribute lists.

use der::asn1::ObjectIdentifier;

use crate::PkiError;
use crate::asn1::{self, Oid, Reader, tag};

/// Most attributes that a name may have.
const MAX_ATTRIBUTES: usize = 64;

/// Short names of attribute types: those of RFC 2253 first, then the ones that profiles use.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("CN", "2.5.4.3"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("serialNumber", "2.5.4.5"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("SN", "2.5.4.5"),
    ("businessCategory", "2.5.4.15"),
    ("organizationIdentifier", "2.5.4.97"),
    ("GIVENNAME", "2.5.4.42"),
    ("SURNAME", "2.5.4.4"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// How many of [`SHORT_NAMES`] RFC 2253 knows, so that Java writes them by keyword.
const RFC2253_KEYWORDS: usize = 9;

/// The dotted object identifier of an attribute type given by short name (as the certificate profiles
/// and `openssl` write it: `CN`, `O`, `serialNumber`, …) or already dotted.
pub fn attribute_oid(name: &str) -> Option<&str> {
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return ObjectIdentifier::new(name).is_ok().then_some(name);
    }
    SHORT_NAMES.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map(|(_, oid)| *oid)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub(crate) oid: Oid<'a>,
    tag: u8,
    value: &'a [u8],
    raw: &'a [u8],
}

impl Attribute<'_> {
    /// The value as text, if it is of a string type.
    pub(crate) fn text(&self) -> Option<String> {
        match self.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | 0x12 | 0x1b => {
                std::str::from_utf8(self.value).ok().map(str::to_owned)
            }
            // TeletexString: in practice Latin-1, or UTF-8 that was mislabelled
            0x14 => Some(match std::str::from_utf8(self.value) {
                Ok(text) => text.to_owned(),
                Err(_) => self.value.iter().map(|byte| char::from(*byte)).collect(),
            }),
            // BMPString
            0x1e => {
                let units: Vec<u16> = self
                    .value
                    .chunks(2)
                    .map(|pair| match pair {
                        [high, low] => Some(u16::from_be_bytes([*high, *low])),
                        _ => None,
                    })
                    .collect::<Option<_>>()?;
                String::from_utf16(&units).ok()
            }
            _ => None,
        }
    }

    /// Java's RFC 2253 form takes the bytes of any of these types for UTF-8.
    fn is_java_string(&self) -> bool {
        matches!(
            self.tag,
            tag::PRINTABLE_STRING | 0x14 | tag::IA5_STRING | 0x1b | 0x1e | tag::UTF8_STRING
        )
    }
}

/// The relative distinguished names in the order of the encoding, each with its attributes.
pub(crate) fn parse(der: &[u8]) -> Result<Vec<Vec<Attribute<'_>>>, PkiError> {
    let what = "distinguished name";
    let mut rdns = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
    let mut names = Vec::new();
    let mut count = 0usize;
    while !rdns.is_empty() {
        let mut set = rdns.expect(tag::SET)?.reader(what);
        let mut attributes = Vec::new();
        while !set.is_empty() {
            count += 1;
            if count > MAX_ATTRIBUTES {
                return Err(PkiError::TooLarge {
                    what: "attributes of a name",
                    limit: MAX_ATTRIBUTES,
                });
            }
            let mut pair = set.sequence()?;
            let oid = pair.oid()?;
            let value = pair.next()?;
            pair.finish()?;
            attributes.push(Attribute { oid, tag: value.tag, value: value.value, raw: value.raw });
        }
        names.push(attributes);
    }
    Ok(names)
}

/// The text of Java's `X500Principal.getName()`: RFC 2253, last RDN first, a comma without space
/// between, attribute types that RFC 2253 does not name as `OID=#` and the value's DER in hex.
/// A name that cannot be read is given as `#` and its DER in hex.
pub fn rfc2253(der: &[u8]) -> String {
    let Ok(rdns) = parse(der) else {
        return format!("#{}", hex::encode(der));
    };
    let texts: Vec<String> = rdns
        .iter()
        .rev()
        .map(|rdn| rdn.iter().map(attribute_rfc2253).collect::<Vec<_>>().join("+"))
        .collect();
    texts.join(",")
}

fn attribute_rfc2253(attribute: &Attribute<'_>) -> String {
    let dotted = attribute.oid.to_string();
    let keyword = SHORT_NAMES
        .iter()
        .take(RFC2253_KEYWORDS)
        .find(|(_, oid)| *oid == dotted)
        .map(|(short, _)| *short);
    match keyword {
        Some(keyword) if attribute.is_java_string() => {
            format!("{keyword}={}", escape(&String::from_utf8_lossy(attribute.value)))
        }
        _ => format!("{}=#{}", keyword.unwrap_or(&dotted), hex::encode(attribute.raw)),
    }
}

fn escape(value: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let lead = value.chars().take_while(|c| is_blank(*c)).count();
    let total = value.chars().count();
    let trail = value.chars().rev().take_while(|c| is_blank(*c)).count();
    let mut out = String::with_capacity(value.len());
    for (index, c) in value.chars().enumerate() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0' => out.push_str("\\00"),
            c if is_blank(c) && (index < lead || index >= total - trail) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A form of the name in which two names that PKIX holds equal are equal: letter case and runs of
/// white space do not count, nor does the string type. Fit as a key of look-up tables.
pub fn canonical(der: &[u8]) -> String {
    canonical_parts(der).join(",")
}

fn canonical_parts(der: &[u8]) -> Vec<String> {
    let Ok(rdns) = parse(der) else {
        return vec![format!("#{}", hex::encode(der))];
    };
    let part = |rdn: &Vec<Attribute<'_>>| {
        let mut attributes: Vec<String> = rdn.iter().map(canonical_attribute).collect();
        attributes.sort();
        attributes.join("+")
    };
    rdns.iter().map(part).collect()
}

fn canonical_attribute(attribute: &Attribute<'_>) -> String {
    let value = match attribute.text() {
        Some(text) => {
            let words: Vec<&str> = text.split_whitespace().collect();
            escape(&words.join(" ").to_lowercase())
        }
        None => format!("#{}", hex::encode(attribute.raw)),
    };
    format!("{}={value}", attribute.oid)
}

/// Whether two DER names are the same name.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// Whether two DER names are the same name, or one is the other in reverse order of its parts. Responders
/// written in Java name themselves so (X-Road's own test responder among them), and the library that
/// X-Road judges with takes the two for equal.
pub fn same_or_reversed(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (canonical_parts(a), canonical_parts(b));
    a == b || a.iter().eq(b.iter().rev())
}

/// The value of the attribute `oid` (dotted). Where a type occurs more than once the last RDN of the
/// encoding wins, because X-Road reads the name in its reversed (RFC 2253) order.
pub fn attribute(der: &[u8], oid: &str) -> Option<String> {
    let wanted = ObjectIdentifier::new(oid).ok()?;
    let rdns = parse(der).ok()?;
    let found = rdns.iter().rev().find_map(|rdn| rdn.iter().find(|a| a.oid == wanted))?;
    found.text()
}

/// Encodes a name: one RDN for each pair, in the order given. Types are short names or dotted object
/// identifiers; `C` becomes a PrintableString, `DC` and `emailAddress` an IA5String, all others UTF8String.
///
/// # Errors
/// [`PkiError::CannotEncode`] for unknown types, empty values, and values beyond 1024 bytes.
pub fn encode<T: AsRef<str>, V: AsRef<str>>(attributes: &[(T, V)]) -> Result<Vec<u8>, PkiError> {
    let what = "distinguished name";
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(PkiError::cannot_encode(what, "too many attributes"));
    }
    let mut rdns = Vec::with_capacity(attributes.len());
    for (kind, value) in attributes {
        let (kind, value) = (kind.as_ref(), value.as_ref());
        let dotted = attribute_oid(kind)
            .ok_or_else(|| PkiError::cannot_encode(what, format!("unknown attribute {kind:?}")))?;
        if value.is_empty() || value.len() > 1024 {
            return Err(PkiError::cannot_encode(what, format!("{kind} has {} bytes", value.len())));
        }
        let oid = ObjectIdentifier::new(dotted)
            .map_err(|_| PkiError::cannot_encode(what, format!("bad identifier {dotted:?}")))?;
        let string_tag = match dotted {
            "2.5.4.6" if is_printable(value) => tag::PRINTABLE_STRING,
            "0.9.2342.19200300.100.1.25" | "1.2.840.113549.1.9.1" if value.is_ascii() => {
                tag::IA5_STRING
            }
            _ => tag::UTF8_STRING,
        };
        let pair = asn1::sequence(&[asn1::oid(&oid), asn1::element(string_tag, &[value])]);
        rdns.push(asn1::element(tag::SET, &[pair]));
    }
    Ok(asn1::sequence(&rdns))
}

fn is_printable(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_as_java_writes() {
        let name = encode(&[
            ("C", "FI"),
            ("O", "Gofore, \"Oy\"  "),
            ("serialNumber", "DEV/ss1/COM"),
            ("CN", "#1=a+b"),
        ])
        .unwrap();
        assert_eq!(
            rfc2253(&name),
            "CN=\\#1\\=a\\+b,2.5.4.5=#0c0b4445562f7373312f434f4d,O=Gofore\\, \\\"Oy\\\"\\ \\ ,C=FI"
        );
        assert_eq!(attribute(&name, "2.5.4.5").as_deref(), Some("DEV/ss1/COM"));
        assert_eq!(attribute(&name, "2.5.4.11"), None);
    }

    #[test]
    fn equal_names_are_same() {
        let a = encode(&[("C", "EE"), ("O", "Big  Corp"), ("CN", "x")]).unwrap();
        let b = encode(&[("C", "EE"), ("O", "big corp "), ("CN", "X")]).unwrap();
        let c = encode(&[("C", "EE"), ("O", "big corp"), ("CN", "y")]).unwrap();
        assert!(same(&a, &b));
        assert!(!same(&a, &c));
    }

    #[test]
    fn reversed_names_with_commas() {
        let a = encode(&[("C", "EE"), ("O", "Big, Corp"), ("CN", "x")]).unwrap();
        let b = encode(&[("CN", "X"), ("O", "Big, Corp"), ("C", "EE")]).unwrap();
        assert!(same_or_reversed(&a, &b));
        assert!(!same(&a, &b));
        let c = encode(&[("CN", "X"), ("O", "Corp, Big"), ("C", "EE")]).unwrap();
        assert!(!same_or_reversed(&a, &c));
    }

    #[test]
    fn refuses_what_cannot_be_encoded() {
        assert!(encode(&[("XYZ", "a")]).is_err());
        assert!(encode(&[("CN", "")]).is_err());
        assert!(encode(&[("1.2.3.4", "a")]).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = rfc2253(&bytes);
            let _ = canonical(&bytes);
            let wrapped = asn1::sequence(&[asn1::element(tag::SET, &[asn1::sequence(&[bytes])])]);
            let _ = rfc2253(&wrapped);
            let _ = canonical(&wrapped);
        }

        #[test]
        fn attributes_lead_back(value in "\\PC{1,40}") {
            let name = encode(&[("C", "EE"), ("CN", value.as_str())]).unwrap();
            prop_assert_eq!(attribute(&name, "2.5.4.3"), Some(value));
        }
    }
}

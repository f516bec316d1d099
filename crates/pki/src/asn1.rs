//! DER (X.690) at the level of tag, length and value.
//!
//! OCSP responses and timestamp tokens are signed over the bytes as they came, and members' PKIs and
//! authorities produce encodings that typed decoders refuse (fractional seconds, unsorted sets,
//! embedded certificates with odd names). So the outer structures are walked by spans: nothing is
//! re-encoded, nothing is copied, and nothing recurses.

use std::ops::Range;

use der::asn1::ObjectIdentifier;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::PkiError;

pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// Context-specific, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// Context-specific, constructed.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element: its tag octet, its content, and the whole of it as it was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    pub(crate) raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    pub(crate) fn reader(&self, what: &'static str) -> Reader<'a> {
        Reader::new(self.value, what)
    }
}

/// Longest object identifier that is read, content octets.
const MAX_OID: usize = 64;

/// An object identifier as it is encoded. (`der`'s own refuses short ones such as `1.2.3`, which test
/// authorities use as policy, and long ones.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Oid<'a>(&'a [u8]);

impl<'a> Oid<'a> {
    fn from_content(content: &'a [u8]) -> Option<Self> {
        // the last octet ends an arc
        let complete = content.len() <= MAX_OID && content.last()? & 0x80 == 0;
        complete.then_some(Self(content))
    }

    pub(crate) fn content(self) -> &'a [u8] {
        self.0
    }
}

impl PartialEq<ObjectIdentifier> for Oid<'_> {
    fn eq(&self, other: &ObjectIdentifier) -> bool {
        self.0 == other.as_bytes()
    }
}

impl std::fmt::Display for Oid<'_> {
    /// Dotted; in hex if an arc exceeds 64 bits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut arcs: Vec<u64> = Vec::new();
        let mut arc = 0u64;
        for octet in self.0 {
            if arc > u64::MAX >> 7 {
                return write!(f, "0x{}", hex::encode(self.0));
            }
            arc = (arc << 7) | u64::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                arcs.push(arc);
                arc = 0;
            }
        }
        for (index, arc) in arcs.iter().enumerate() {
            match (index, arc) {
                (0, 0..=79) => write!(f, "{}.{}", arc / 40, arc % 40)?,
                (0, _) => write!(f, "2.{}", arc - 80)?,
                _ => write!(f, ".{arc}")?,
            }
        }
        Ok(())
    }
}

/// Reads consecutive elements from a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The one element that `bytes` consists of.
    pub(crate) fn single(
        bytes: &'a [u8],
        tag: u8,
        what: &'static str,
    ) -> Result<Tlv<'a>, PkiError> {
        let mut reader = Self::new(bytes, what);
        let tlv = reader.expect(tag)?;
        reader.finish()?;
        Ok(tlv)
    }

    fn error(&self, why: &str) -> PkiError {
        PkiError::malformed(self.what, why)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, PkiError> {
        let whole = self.rest;
        let (&tag, after_tag) = whole.split_first().ok_or_else(|| self.error("ends too early"))?;
        if tag & 0x1f == 0x1f {
            return Err(self.error("multi-byte tag"));
        }
        let (&first, after_first) =
            after_tag.split_first().ok_or_else(|| self.error("ends within a length"))?;
        let (length, content) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let (octets, content) = after_first
                    .split_at_checked(count)
                    .ok_or_else(|| self.error("ends within a length"))?;
                let length = octets.iter().fold(0u64, |sum, octet| (sum << 8) | u64::from(*octet));
                let minimal = length >= 0x80 && octets.first() != Some(&0);
                if !minimal {
                    return Err(self.error("length is not in its shortest form"));
                }
                let length =
                    usize::try_from(length).map_err(|_| self.error("length is too large"))?;
                (length, content)
            }
            0x80 => return Err(self.error("indefinite length")),
            _ => return Err(self.error("length is too large")),
        };
        let (value, rest) = content
            .split_at_checked(length)
            .ok_or_else(|| self.error("length exceeds the input"))?;
        let raw_length = whole.len().saturating_sub(rest.len());
        let raw = whole.get(..raw_length).ok_or_else(|| self.error("ends too early"))?;
        self.rest = rest;
        Ok(Tlv { tag, value, raw })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, PkiError> {
        match self.peek() {
            Some(found) if found == tag => self.next(),
            Some(found) => Err(self.error(&format!("tag {tag:02x} expected, {found:02x} found"))),
            None => Err(self.error("ends too early")),
        }
    }

    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, PkiError> {
        if self.peek() == Some(tag) { self.next().map(Some) } else { Ok(None) }
    }

    pub(crate) fn sequence(&mut self) -> Result<Reader<'a>, PkiError> {
        let tlv = self.expect(tag::SEQUENCE)?;
        Ok(Reader::new(tlv.value, self.what))
    }

    pub(crate) fn oid(&mut self) -> Result<Oid<'a>, PkiError> {
        let tlv = self.expect(tag::OID)?;
        Oid::from_content(tlv.value).ok_or_else(|| self.error("bad object identifier"))
    }

    pub(crate) fn octets(&mut self) -> Result<&'a [u8], PkiError> {
        Ok(self.expect(tag::OCTET_STRING)?.value)
    }

    /// The content octets of an INTEGER: never empty, two's complement.
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], PkiError> {
        let tlv = self.expect(tag::INTEGER)?;
        if tlv.value.is_empty() {
            return Err(self.error("empty integer"));
        }
        Ok(tlv.value)
    }

    /// A BIT STRING of whole octets.
    pub(crate) fn bit_octets(&mut self) -> Result<&'a [u8], PkiError> {
        let tlv = self.expect(tag::BIT_STRING)?;
        match tlv.value.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(self.error("bit string of whole octets expected")),
        }
    }

    pub(crate) fn generalized_time(&mut self) -> Result<OffsetDateTime, PkiError> {
        let tlv = self.expect(tag::GENERALIZED_TIME)?;
        parse_generalized_time(tlv.value).ok_or_else(|| self.error("bad time"))
    }

    pub(crate) fn finish(&self) -> Result<(), PkiError> {
        if self.is_empty() { Ok(()) } else { Err(self.error("unexpected data at the end")) }
    }
}

fn digits(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0u32, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

/// `YYYYMMDDHHMMSS[.f{1,9}]Z`.
pub(crate) fn parse_generalized_time(value: &[u8]) -> Option<OffsetDateTime> {
    let body = value.strip_suffix(b"Z")?;
    let (whole, fraction) = match body.split_at_checked(14)? {
        (whole, []) => (whole, None),
        (whole, [b'.', fraction @ ..]) => (whole, Some(fraction)),
        _ => return None,
    };
    let nanosecond = match fraction {
        None => 0,
        Some(fraction) => {
            let scale =
                10u32.checked_pow(9u32.checked_sub(u32::try_from(fraction.len()).ok()?)?)?;
            digits(fraction)?.checked_mul(scale)?
        }
    };
    let year = i32::try_from(digits(whole.get(..4)?)?).ok()?;
    civil_time(year, whole.get(4..)?, nanosecond)
}

/// `YYMMDDHHMMSSZ`, years 1950 to 2049.
pub(crate) fn parse_utc_time(value: &[u8]) -> Option<OffsetDateTime> {
    let body = value.strip_suffix(b"Z")?;
    let short = i32::try_from(digits(body.get(..2)?)?).ok()?;
    let year = if short < 50 { 2000 + short } else { 1900 + short };
    civil_time(year, body.get(2..)?, 0)
}

fn civil_time(year: i32, rest: &[u8], nanosecond: u32) -> Option<OffsetDateTime> {
    if rest.len() != 10 {
        return None;
    }
    let part = |from: usize| {
        rest.get(from..from + 2).and_then(digits).and_then(|value| u8::try_from(value).ok())
    };
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(2)?).ok()?;
    let time = Time::from_hms_nano(part(4)?, part(6)?, part(8)?, nanosecond).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc())
}

/// Where `part`, a sub-slice of `whole`, lies in it.
pub(crate) fn span_of(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// Deepest nesting that [`definite`] follows.
const MAX_DEPTH: usize = 32;

/// Turns BER (indefinite lengths, lengths in long form, octet strings in pieces) into definite, shortest
/// lengths. Primitive contents and the order of sets stay as they are.
pub(crate) fn definite(bytes: &[u8], what: &'static str) -> Result<Vec<u8>, PkiError> {
    let mut rest = bytes;
    let mut out = Vec::with_capacity(bytes.len());
    definite_element(&mut rest, MAX_DEPTH, what, &mut out)?;
    if !rest.is_empty() {
        return Err(PkiError::malformed(what, "unexpected data at the end"));
    }
    Ok(out)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn definite_element(
    rest: &mut &[u8],
    depth: usize,
    what: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), PkiError> {
    let bad = |why: &str| PkiError::malformed(what, why);
    let depth = depth.checked_sub(1).ok_or_else(|| bad("nested too deep"))?;
    let short = || bad("ends too early");
    let (tag, first) = match take(rest, 2).ok_or_else(short)? {
        [tag, first] if tag & 0x1f != 0x1f && *tag != 0 => (*tag, *first),
        _ => return Err(bad("bad tag")),
    };
    let constructed = tag & 0x20 != 0;
    let mut content = if first == 0x80 {
        if !constructed {
            return Err(bad("indefinite length of a primitive"));
        }
        None
    } else if first < 0x80 {
        Some(take(rest, usize::from(first)).ok_or_else(short)?)
    } else if first <= 0x84 {
        let octets = take(rest, usize::from(first & 0x7f)).ok_or_else(short)?;
        let length = octets.iter().fold(0u64, |sum, octet| (sum << 8) | u64::from(*octet));
        let length = usize::try_from(length).map_err(|_| bad("length is too large"))?;
        Some(take(rest, length).ok_or_else(short)?)
    } else {
        return Err(bad("length is too large"));
    };
    if !constructed {
        out.extend(element(tag, &[content.unwrap_or_default()]));
        return Ok(());
    }
    let mut inner = Vec::new();
    loop {
        match &mut content {
            Some([]) => break,
            Some(content) => definite_element(content, depth, what, &mut inner)?,
            None if rest.starts_with(&[0, 0]) => {
                take(rest, 2);
                break;
            }
            None => definite_element(rest, depth, what, &mut inner)?,
        }
    }
    if tag == tag::OCTET_STRING | 0x20 {
        let mut pieces = Reader::new(&inner, what);
        let mut joined = Vec::new();
        while !pieces.is_empty() {
            joined.extend_from_slice(pieces.octets()?);
        }
        out.extend(octets(&joined));
    } else {
        out.extend(element(tag, &[inner]));
    }
    Ok(())
}

// ---- writing -------------------------------------------------------------------------------

/// One element with the given tag whose content is the concatenation of `parts`.
pub(crate) fn element<P: AsRef<[u8]>>(tag: u8, parts: &[P]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = (length as u64).to_be_bytes();
        let skipped = octets.iter().take_while(|octet| **octet == 0).count();
        out.push(0x80 | (octets.len() - skipped) as u8);
        out.extend(octets.iter().skip(skipped));
    }
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

pub(crate) fn sequence<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// SET OF: the elements sorted by their encodings, as DER demands.
pub(crate) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(tag::SET, &parts)
}

pub(crate) fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    element(tag::OID, &[oid.as_bytes()])
}

pub(crate) fn octets(value: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, &[value])
}

pub(crate) fn bits(value: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], value])
}

pub(crate) fn null() -> Vec<u8> {
    vec![tag::NULL, 0]
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    vec![tag::BOOLEAN, 1, if value { 0xff } else { 0 }]
}

/// INTEGER from the octets of an unsigned big-endian number of any length.
pub(crate) fn unsigned(value: &[u8]) -> Vec<u8> {
    let skipped = value.iter().take_while(|octet| **octet == 0).count();
    let significant = value.get(skipped..).unwrap_or_default();
    match significant.first() {
        None => vec![tag::INTEGER, 1, 0],
        Some(first) if first & 0x80 != 0 => element(tag::INTEGER, &[&[0], significant]),
        Some(_) => element(tag::INTEGER, &[significant]),
    }
}

/// GeneralizedTime without a fraction (the fraction is cut off).
pub(crate) fn generalized_time(at: OffsetDateTime) -> Vec<u8> {
    element(tag::GENERALIZED_TIME, &[generalized_text(at).as_bytes()])
}

fn generalized_text(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// Time of RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime after (and before 1950).
pub(crate) fn x509_time(at: OffsetDateTime) -> Vec<u8> {
    let text = generalized_text(at);
    match text.get(2..) {
        Some(short) if (1950..2050).contains(&at.to_offset(time::UtcOffset::UTC).year()) => {
            element(tag::UTC_TIME, &[short.as_bytes()])
        }
        _ => element(tag::GENERALIZED_TIME, &[text.as_bytes()]),
    }
}

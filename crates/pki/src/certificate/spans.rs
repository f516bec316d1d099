//! Where the fields of a certificate lie in its DER.

use std::ops::Range;

use time::OffsetDateTime;

use crate::PkiError;
use crate::asn1::{Reader, parse_generalized_time, parse_utc_time, span_of, tag};

/// Longest serial number, bytes. RFC 5280 allows 20; odd ones are longer.
const MAX_SERIAL: usize = 64;

/// Where the fields lie in the DER.
pub(super) struct Spans {
    pub(super) tbs: Range<usize>,
    pub(super) serial: Range<usize>,
    pub(super) issuer: Range<usize>,
    pub(super) subject: Range<usize>,
    pub(super) spki: Range<usize>,
    pub(super) spki_bits: Range<usize>,
    pub(super) signature_algorithm: Range<usize>,
    pub(super) signature: Range<usize>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Spans {
    pub(super) fn find(der: &[u8]) -> Result<Self, PkiError> {
        let what = "certificate";
        let lost = || PkiError::malformed(what, "inconsistent lengths");
        let span = |part: &[u8]| span_of(der, part).ok_or_else(lost);

        let mut outer = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
        let tbs = outer.expect(tag::SEQUENCE)?;
        let signature_algorithm = outer.expect(tag::SEQUENCE)?;
        let signature = outer.bit_octets()?;
        outer.finish()?;

        let mut fields = tbs.reader(what);
        fields.optional(tag::context_constructed(0))?;
        let serial = fields.integer()?;
        if serial.len() > MAX_SERIAL {
            return Err(PkiError::TooLarge { what: "serial number, bytes", limit: MAX_SERIAL });
        }
        let inner_algorithm = fields.expect(tag::SEQUENCE)?;
        if inner_algorithm.raw != signature_algorithm.raw {
            return Err(PkiError::malformed(what, "the two signature algorithms differ"));
        }
        let issuer = fields.expect(tag::SEQUENCE)?;
        let mut validity = fields.sequence()?;
        let not_before = read_time(&mut validity)?;
        let not_after = read_time(&mut validity)?;
        let subject = fields.expect(tag::SEQUENCE)?;
        let spki = fields.expect(tag::SEQUENCE)?;
        let mut key = spki.reader(what);
        key.next()?;
        let spki_bits = key.bit_octets()?;
        Ok(Self {
            tbs: span(tbs.raw)?,
            serial: span(serial)?,
            issuer: span(issuer.raw)?,
            subject: span(subject.raw)?,
            spki: span(spki.raw)?,
            spki_bits: span(spki_bits)?,
            signature_algorithm: span(signature_algorithm.raw)?,
            signature: span(signature)?,
            not_before,
            not_after,
        })
    }
}

fn read_time(reader: &mut Reader<'_>) -> Result<OffsetDateTime, PkiError> {
    let tlv = reader.next()?;
    let time = match tlv.tag {
        tag::UTC_TIME => parse_utc_time(tlv.value),
        tag::GENERALIZED_TIME => parse_generalized_time(tlv.value),
        _ => None,
    };
    time.ok_or_else(|| PkiError::malformed("certificate", "bad time of validity"))
}

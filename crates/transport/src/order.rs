//! The order of the parts: a state machine that only goes forward.

use crate::decoder::Expect;
use crate::error::shorten;
use crate::{TransportError, media};

/// What the next part may be, at the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    OcspOrMessage,
    RestBody,
    Attachments,
    HashChainResult,
    HashChain,
    Signature,
    Over,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Ocsp,
    Rest,
    Soap,
    RestBody,
    Attachments,
    HashChainResult,
    HashChain,
    Signature,
    ClosingFault,
}

impl Stage {
    /// Places a part by its media type. Optional parts that do not come are
    /// passed over; what reaches the end must be the signature or a fault.
    pub(crate) fn place(self, expect: Expect, base: &str) -> Result<(Slot, Self), TransportError> {
        let unexpected =
            |expected| Err(TransportError::UnexpectedPart { expected, found: shorten(base) });
        match self {
            Self::OcspOrMessage => match (base, expect) {
                (media::OCSP_RESPONSE, Expect::Request) => Ok((Slot::Ocsp, self)),
                (media::REST_REQUEST, Expect::Request)
                | (media::REST_RESPONSE, Expect::Response) => Ok((Slot::Rest, Self::RestBody)),
                (media::TEXT_XML | media::XOP_XML, _) => Ok((Slot::Soap, Self::Attachments)),
                _ => unexpected("a message part"),
            },
            Self::RestBody if base == media::REST_BODY => {
                Ok((Slot::RestBody, Self::HashChainResult))
            }
            Self::Attachments if base == media::MULTIPART_MIXED => {
                Ok((Slot::Attachments, Self::HashChainResult))
            }
            Self::RestBody | Self::Attachments | Self::HashChainResult
                if base == media::HASH_CHAIN_RESULT =>
            {
                Ok((Slot::HashChainResult, Self::HashChain))
            }
            Self::RestBody | Self::Attachments | Self::HashChainResult | Self::HashChain
                if base == media::HASH_CHAIN =>
            {
                // Beyond X-Road, which takes a lone chain or result and then does not look at it.
                if self != Self::HashChain {
                    return Err(TransportError::UnpairedHashChain);
                }
                Ok((Slot::HashChain, Self::Signature))
            }
            Self::Over => Err(TransportError::ExtraPart(shorten(base))),
            _ => match base {
                media::SIGNATURE if self == Self::HashChain => {
                    Err(TransportError::UnpairedHashChain)
                }
                media::SIGNATURE => Ok((Slot::Signature, Self::Over)),
                media::TEXT_XML => Ok((Slot::ClosingFault, Self::Over)),
                _ => unexpected("a signature"),
            },
        }
    }
}

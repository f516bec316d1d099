//! Containers, against X-Road's own, against other readers of ZIP archives, and against strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod made;
mod vectors;

use bytes::Bytes;
use causeway_asic::{Attachment, Container};
use time::OffsetDateTime;
use time::macros::datetime;

const CREATED: OffsetDateTime = datetime!(2025-03-04 05:06:07 UTC);

/// A container of every kind of part; its content is not signed by anybody.
fn sample() -> Container {
    let text = |text: &str| Some(Bytes::from(text.to_owned()));
    let mut container = Container::new(
        Bytes::from_static(b"<message/>"),
        Bytes::from_static(b"<asic:XAdESSignatures xmlns:asic=\"urn:a\"/>"),
    );
    container.sig_hash_chain_result = text("<HashChainResult/>");
    container.sig_hash_chain = text("<HashChain/>");
    container.ts_hash_chain_result = text("<HashChainResult n='2'/>");
    container.ts_hash_chain = text("<HashChain n='2'/>");
    container.timestamp = Some(Bytes::from_static(&[0x30, 0x00]));
    container.attachments = vec![
        Attachment::new(1, Bytes::from_static(b"first attachment")),
        Attachment::new(2, Bytes::from(vec![0xff; 3000])),
    ];
    container
}

//! Archives, against X-Road's own, against `gpg`, and against strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod encrypted;
mod tampered;
mod vectors;
mod written;

use std::path::PathBuf;

use causeway_archive::ArchiveError;
use causeway_archive::folder::{Archiver, Ledger, Protection, Settings, Stored};
use causeway_archive::linking::Link;
use causeway_archive::write::Item;
use causeway_identifiers::ClientId;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const BEGIN: OffsetDateTime = datetime!(2025-03-04 05:06:07 UTC);

/// A ledger in memory.
#[derive(Default)]
struct Book {
    protection: Protection,
    links: Vec<(Option<String>, Link)>,
    stored: Vec<PathBuf>,
}

impl Ledger for Book {
    fn last(&self, group: Option<&str>) -> Result<Option<Link>, ArchiveError> {
        let of_group = |(g, _): &&(Option<String>, Link)| g.as_deref() == group;
        Ok(self.links.iter().rev().find(of_group).map(|(_, link)| link.clone()))
    }

    fn stored(&mut self, group: Option<&str>, archive: &Stored) -> Result<(), ArchiveError> {
        self.links.push((group.map(str::to_owned), archive.link.clone()));
        self.stored.push(archive.path.clone());
        Ok(())
    }

    fn protection(&self, _client: &ClientId) -> Result<Protection, ArchiveError> {
        Ok(self.protection.clone())
    }
}

/// Archives records, given as owner and content, and gives the ledger.
fn archive(
    folder: &std::path::Path,
    settings: Settings,
    book: Book,
    records: &[(&str, Vec<u8>)],
) -> Book {
    let mut archiver = Archiver::new(folder, settings, book);
    for (number, (owner, content)) in (0_u32..).zip(records) {
        let id = format!("message {}/{number}", number / 2);
        let item = Item {
            query_id: &id,
            response: number % 2 == 1,
            record_id: u64::from(number) + 1,
            time: BEGIN + Duration::seconds(number.into()),
        };
        let owner = ClientId::parse(owner).unwrap();
        archiver
            .add(&owner, &item, |out| out.write_all(content).map_err(ArchiveError::from))
            .unwrap();
    }
    archiver.finish().unwrap()
}

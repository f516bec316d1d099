//! Looking records up by time, client and provider.

use std::fs::File;
use std::io;

use causeway_identifiers::ClientId;

use super::StoreError;
use super::frame::Header;
use super::segment::{Segment, packed};
use crate::Record;
use crate::record::Party;

/// How many records one search reads at most before it gives what it has and says where to go on.
/// It keeps a search for a rare client in a week of heavy traffic from holding a core for minutes.
pub(super) const MAX_READ: usize = 1_000_000;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The first second, since 1970.
    pub from: u64,
    /// The last second, itself included.
    pub to: u64,
    /// Only records in which this client asks or is asked.
    pub party: Option<ClientId>,
    /// Only records in which this client is asked.
    pub provider: Option<ClientId>,
    /// How many records are wanted. There may be more: the records of one second stay together.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The second from which to go on, when there is more up to the end of the time asked for.
    pub next_from: Option<u64>,
    /// How many frames were damaged and passed over.
    pub damaged: usize,
}

struct Place {
    header: Header,
    segment: usize,
    at: u64,
}

impl Search {
    fn wants(&self, record: &Record) -> bool {
        let party = self.party.as_ref().map(Party::of);
        let provider = self.provider.as_ref().map(Party::of);
        party.is_none_or(|p| record.client() == p || record.provider() == p)
            && provider.is_none_or(|p| record.provider() == p)
    }

    fn may_be_in(&self, header: &Header) -> bool {
        let listed = |id: &Option<ClientId>| {
            id.as_ref().is_none_or(|id| header.may_have(Party::of(id).mark()))
        };
        (self.from..=self.to).contains(&header.time)
            && listed(&self.party)
            && listed(&self.provider)
    }
}

/// Looks the records up in the segments, which may be in any order and may have been removed meanwhile.
pub(super) fn search(
    mut segments: Vec<Segment>,
    wanted: &Search,
    most_read: usize,
) -> Result<Found, StoreError> {
    segments.retain(|s| s.first <= wanted.to && s.last >= wanted.from);
    segments.sort_by_key(|s| (s.first, s.number));
    let mut going = Going { found: Found::default(), read: 0, second: None, most_read };
    let mut rest = segments.as_slice();
    while let Some((first, _)) = rest.split_first() {
        // Segments that overlap, because the clock went back, are read together.
        let mut end = first.last;
        let mut count = 1;
        while let Some(next) = rest.get(count).filter(|next| next.first <= end) {
            end = end.max(next.last);
            count += 1;
        }
        let (together, later) = rest.split_at(count);
        if going.read_together(together, wanted)? {
            return Ok(going.found);
        }
        rest = later;
    }
    Ok(going.found)
}

/// A search on its way.
struct Going {
    found: Found,
    read: usize,
    second: Option<u64>,
    most_read: usize,
}

impl Going {
    /// Reads segments whose times overlap; `true` when the search is over.
    fn read_together(&mut self, segments: &[Segment], wanted: &Search) -> Result<bool, StoreError> {
        let mut places = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let mut headers = match segment.headers() {
                Ok(headers) => headers,
                // Its time was over.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(StoreError::read(&segment.path, e)),
            };
            while let Some((header, at)) =
                headers.next().map_err(|e| StoreError::read(&segment.path, e))?
            {
                if wanted.may_be_in(&header) {
                    places.push(Place { header, segment: index, at });
                }
            }
        }
        places.sort_by_key(|p| p.header.time);
        let mut open: Option<(usize, File)> = None;
        for place in places {
            let time = place.header.time;
            // Seconds stay whole, so that whoever goes on behind this one misses nothing.
            if self.second != Some(time) {
                let full = self.found.records.len() >= wanted.limit;
                if self.read >= self.most_read {
                    self.found.next_from = Some(time);
                    return Ok(true);
                }
                if !full {
                    self.second = Some(time);
                }
            }
            let segment = &segments[place.segment];
            let file = match &mut open {
                Some((index, file)) if *index == place.segment => file,
                slot => match File::open(&segment.path) {
                    Ok(file) => &mut slot.insert((place.segment, file)).1,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(StoreError::read(&segment.path, e)),
                },
            };
            let bytes = packed(file, place.at, &place.header)
                .map_err(|e| StoreError::read(&segment.path, e))?;
            let Some(records) = place.header.unpack(&bytes) else {
                self.found.damaged += 1;
                continue;
            };
            self.read += records.len();
            let mut fitting = records.into_iter().filter(|record| wanted.wants(record));
            if self.second == Some(time) {
                self.found.records.extend(fitting);
            } else if fitting.next().is_some() {
                // Full, and there is more: it begins behind the last second that was given.
                self.found.next_from = self.second.map(|last| last.saturating_add(1));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

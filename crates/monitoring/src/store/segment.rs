//! A segment: a file of frames, in the order in which they were written.
//!
//! Its name is `<number>-<time of the first frame>.opdata`, with `back` before the dot when it was begun
//! because the clock went back. Times inside a segment never go back, and the next segment begins
//! later than this one ends unless its name says otherwise.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::frame::Header;

/// A segment as a search sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) first: u64,
    /// No frame is later.
    pub(super) last: u64,
    /// How much of the file counts.
    pub(super) bytes: u64,
    pub(super) back: bool,
}

const SUFFIX: &str = ".opdata";
const BACK: &str = "back";

impl Segment {
    /// A new segment that begins at a time.
    pub(super) fn begin(folder: &Path, number: u64, first: u64, back: bool) -> Self {
        let name = format!("{number:010}-{first:010}{}{SUFFIX}", if back { BACK } else { "" });
        Self { path: folder.join(name), number, first, last: first, bytes: 0, back }
    }

    /// The segment of a file's name; `None` for other files.
    pub(super) fn of_file(path: PathBuf, bytes: u64) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (name, back) = name.strip_suffix(BACK).map_or((name, false), |n| (n, true));
        let (number, first) = name.split_once('-')?;
        let (number, first) = (number.parse().ok()?, first.parse().ok()?);
        Some(Self { path, number, first, last: first, bytes, back })
    }

    /// The frames' beginnings with the place of their packed bytes, up to the first that is damaged.
    pub(super) fn headers(&self) -> io::Result<Headers> {
        let file = File::open(&self.path)?;
        Ok(Headers { file: BufReader::new(file), at: 0, end: self.bytes })
    }
}

/// Reads the beginnings of a segment's frames, passing over what is packed.
#[derive(Debug)]
pub(super) struct Headers {
    file: BufReader<File>,
    at: u64,
    end: u64,
}

impl Headers {
    /// The next frame: its beginning, and where its packed bytes are.
    pub(super) fn next(&mut self) -> io::Result<Option<(Header, u64)>> {
        let left = self.end.saturating_sub(self.at);
        let Some(header) = Header::read(&mut (&mut self.file).take(left))? else {
            return Ok(None);
        };
        let place = self.at + header.bytes();
        let next = place + u64::from(header.packed);
        if next > self.end {
            return Ok(None);
        }
        self.file.seek_relative(i64::from(header.packed))?;
        self.at = next;
        Ok(Some((header, place)))
    }

    /// Where the frames read so far end.
    pub(super) fn read_so_far(&self) -> u64 {
        self.at
    }
}

/// The packed bytes of a frame.
pub(super) fn packed(file: &mut File, place: u64, header: &Header) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = vec![0; header.packed as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

//! A log on a disk that runs full, or does not answer, and comes back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::record;
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::record::{NewAttachment, RecordId};
use crate::spool::SpooledBody;
use crate::{Log, LogError, LogSettings};

#[derive(Default)]
struct Faults {
    full: AtomicBool,
    silent: AtomicBool,
}

struct FaultyDisk(Arc<Faults>);

struct FaultyFile {
    file: Box<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file, faults: Arc::clone(&self.0) })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.file(RealDisk.create(path)?))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(RealDisk.open(path, write)?))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.create_folder(folder)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.remove_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.faults.full.load(Ordering::SeqCst) {
            // As much as fits, then no more.
            if bytes.len() < 64 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            return self.file.write_at(&bytes[..bytes.len() / 2], offset);
        }
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.faults.silent.load(Ordering::SeqCst) {
            return Err(io::Error::other("the device does not answer"));
        }
        self.file.sync_all()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

async fn fails_and_comes_back(fault: fn(&Faults) -> &AtomicBool, no_space: bool) {
    let folder = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let settings = || LogSettings {
        segment_bytes: 16 * 1024,
        inline_bytes: 100,
        ..LogSettings::new(folder.path())
    };
    let disk = Arc::new(FaultyDisk(Arc::clone(&faults)));
    let log = Log::open_on(settings(), disk).unwrap();
    let mut kept = Vec::new();
    for round in 0..4 {
        for number in 0..7 {
            let id = log.append(record(&format!("good-{round}-{number}"), 1000)).await.unwrap();
            kept.push((id, format!("good-{round}-{number}")));
        }
        fault(&faults).store(true, Ordering::SeqCst);
        for number in 0..5 {
            let mut bad = record(&format!("bad-{round}-{number}"), 1000);
            bad.attachments.push(NewAttachment {
                number: 1,
                digest: [1; 64],
                length: 200,
                body: Some(SpooledBody::Memory(vec![7; 200].into())),
            });
            let error = log.append(bad).await.unwrap_err();
            assert_eq!(error.code(), "logging_failed");
            assert_eq!(matches!(error, LogError::NoSpace { .. }), no_space, "{error}");
        }
        assert!(log.counters().unwrap().failing);
        fault(&faults).store(false, Ordering::SeqCst);
    }
    let id = log.append(record("last", 10)).await.unwrap();
    kept.push((id, "last".to_owned()));
    let counters = log.counters().unwrap();
    assert!(!counters.failing);
    drop(log);

    let log = Log::open(settings()).unwrap();
    assert!(log.recovery().damages.is_empty() && !log.recovery().rebuilt);
    assert_eq!(log.counters().unwrap(), counters);
    for (id, message_id) in &kept {
        assert_eq!(&log.record(*id).unwrap().unwrap().message_id, message_id);
    }
    let ids: Vec<RecordId> = kept.iter().map(|(id, _)| *id).collect();
    let waiting = log.untimestamped(1000).unwrap();
    assert!(waiting.iter().map(|w| w.id).eq(ids), "refused records are there");
    let mut bodies = std::fs::read_dir(folder.path().join("bodies")).unwrap();
    let bodies = bodies.next().map(|share| std::fs::read_dir(share.unwrap().path()).unwrap());
    assert_eq!(bodies.map_or(0, Iterator::count), 0, "bodies of refused records are there");
}

#[tokio::test]
async fn a_full_disk_refuses_and_then_takes_records_again() {
    fails_and_comes_back(|faults| &faults.full, true).await;
}

#[tokio::test]
async fn a_silent_disk_refuses_and_then_takes_records_again() {
    fails_and_comes_back(|faults| &faults.silent, false).await;
}

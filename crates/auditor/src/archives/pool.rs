//! One thread reads, others judge, and what they find comes out in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use causeway_archive::ArchiveError;
use causeway_archive::read::Comparison;
use causeway_asic::{AsicError, Container};
use causeway_pki::{DigestAlgorithm, Digester};

use super::{FoundFile, Options, files};
use crate::{Judging, Report, refuse};

/// How many containers are on their way, for each thread that judges.
const AHEAD: usize = 32;
/// The largest container that is kept in memory on its way, in bytes; others go through a file.
const IN_MEMORY: u64 = 1 << 20;

/// What comes out.
pub(super) enum Step {
    /// An archive begins.
    Begin(Result<Begun, ArchiveError>),
    /// A container of it.
    Container(Judged),
    /// It ends.
    End,
}

/// An archive that was opened.
pub(super) struct Begun {
    pub(super) comparison: Comparison,
    pub(super) bytes: u64,
    pub(super) encrypted: bool,
}

/// What was found of a container.
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// The digest of its bytes, by the algorithm of the archive's linking information.
    pub(super) digest: Result<Vec<u8>, AsicError>,
    /// The judgement; an error when it could not be judged.
    pub(super) report: Result<Box<Report>, AsicError>,
}

/// A container on its way to its judge.
struct Job {
    number: u64,
    name: String,
    content: Result<Content, AsicError>,
    algorithm: DigestAlgorithm,
}

enum Content {
    Memory(Vec<u8>),
    File(File, u64),
}

/// Runs all of it; `take` gets the steps in order.
pub(super) fn run(
    files: &[FoundFile],
    judging: &Judging<'_>,
    options: &Options,
    take: &mut dyn FnMut(Step),
) {
    let workers = options.workers.max(1);
    // Whoever sends a step into the pool takes a place, and the step that comes out gives it back: so much is on
    // its way and no more, however long one of them takes.
    let (places, free) = sync_channel::<()>(workers * AHEAD);
    let (send_job, jobs) = channel::<Job>();
    let (send_step, steps) = channel::<(u64, Step)>();
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (jobs, steps) = (&jobs, send_step.clone());
            scope.spawn(move || work(jobs, &steps, judging, options));
        }
        scope.spawn(move || {
            let mut reader = Reader { places, jobs: send_job, steps: send_step, number: 0 };
            // Nobody listens any more: there is nothing to do.
            let _ = files.iter().try_for_each(|file| reader.archive(file, options));
        });
        in_order(&steps, &free, take);
    });
}

/// Puts steps into the order in which they were read.
fn in_order(steps: &Receiver<(u64, Step)>, free: &Receiver<()>, take: &mut dyn FnMut(Step)) {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for (number, step) in steps {
        early.insert(number, step);
        while let Some(step) = early.remove(&next) {
            take(step);
            next += 1;
            let _ = free.recv();
        }
    }
}

/// Nobody listens any more.
struct Alone;

struct Reader {
    places: SyncSender<()>,
    jobs: Sender<Job>,
    steps: Sender<(u64, Step)>,
    number: u64,
}

impl Reader {
    fn place(&mut self) -> Result<u64, Alone> {
        self.places.send(()).map_err(|_| Alone)?;
        self.number += 1;
        Ok(self.number - 1)
    }

    fn step(&mut self, step: Step) -> Result<(), Alone> {
        let number = self.place()?;
        self.steps.send((number, step)).map_err(|_| Alone)
    }

    fn archive(&mut self, file: &FoundFile, options: &Options) -> Result<(), Alone> {
        let mut opened = match files::open(&file.path, options.keys.as_ref()) {
            Ok(opened) => opened,
            Err(error) => {
                self.step(Step::Begin(Err(error)))?;
                return self.step(Step::End);
            }
        };
        let comparison = opened.archive.comparison();
        // Without linking information there is nothing to compare with; the containers are judged all the same.
        let algorithm =
            comparison.digester().map_or(DigestAlgorithm::Sha512, |digester| digester.algorithm());
        let (bytes, encrypted) = (opened.bytes, opened.encrypted);
        self.step(Step::Begin(Ok(Begun { comparison, bytes, encrypted })))?;
        for place in 0..opened.archive.containers().len() {
            let number = self.place()?;
            let entry = &opened.archive.containers()[place];
            let (name, size) = (entry.name().to_owned(), entry.size());
            let content = content(&mut opened, place, size);
            self.jobs.send(Job { number, name, content, algorithm }).map_err(|_| Alone)?;
        }
        self.step(Step::End)
    }
}

fn content(opened: &mut files::Opened, place: usize, size: u64) -> Result<Content, AsicError> {
    if size <= IN_MEMORY {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        opened.archive.copy(place, &mut bytes)?;
        return Ok(Content::Memory(bytes));
    }
    let mut file = tempfile::tempfile()?;
    let size = opened.archive.copy(place, &mut file)?;
    file.flush()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Content::File(file, size))
}

fn work(
    jobs: &Mutex<Receiver<Job>>,
    steps: &Sender<(u64, Step)>,
    judging: &Judging<'_>,
    options: &Options,
) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let number = job.number;
        let name = job.name.clone();
        // A judge that ended would leave everybody waiting for what it was to find.
        let judged = catch_unwind(AssertUnwindSafe(|| judge(job, judging, options)));
        let step = Step::Container(judged.unwrap_or_else(|_| {
            let error = AsicError::Io("its judge ended; please report this container".into());
            Judged { name, bytes: 0, digest: Err(error.clone()), report: Err(error) }
        }));
        if steps.send((number, step)).is_err() {
            return;
        }
    }
}

fn judge(job: Job, judging: &Judging<'_>, options: &Options) -> Judged {
    let Job { name, content, algorithm, .. } = job;
    let (bytes, digest, container) = match content {
        Ok(Content::Memory(bytes)) => (
            bytes.len() as u64,
            Ok(algorithm.digest(&bytes)),
            Container::read_unchecked(Cursor::new(&bytes), &options.limits),
        ),
        Ok(Content::File(mut file, size)) => (
            size,
            digest_of(&mut file, algorithm),
            Container::read_unchecked(file, &options.limits),
        ),
        Err(error) => (0, Err(error.clone()), Err(error)),
    };
    let report = match container {
        Ok(container) => Ok(Box::new(judging.judge(&container))),
        Err(error @ AsicError::Io(_)) => Err(error),
        Err(error) => Ok(Box::new(refuse(&error))),
    };
    Judged { name, bytes, digest, report }
}

fn digest_of(file: &mut File, algorithm: DigestAlgorithm) -> Result<Vec<u8>, AsicError> {
    let mut digester = Digester::new(algorithm);
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => digester.update(&chunk[..read]),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(digester.finish())
}

//! Signing messages in batches.
//!
//! Each signing key has one worker thread. It takes what waits, signs all of
//! it with one private-key operation, and answers; what arrives meanwhile is
//! the next batch. The first message of a batch lets the tasks run that are
//! ready at this moment before it calls the worker, so that those about to
//! sign come along. A lone message finds nobody to let pass and is signed at
//! once; under load the batch grows by itself: no timer, nothing to tune.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use causeway_identifiers::MemberId;
use causeway_message::{Fault, codes};
use causeway_pki::ocsp::OcspResponse;
use causeway_pki::{Certificate, SigningKey};
use causeway_signature::SignatureError;
use causeway_signature::batch::{MessageSignature, sign};
use causeway_signature::hashchain::PartDigest;
use causeway_signature::xades::Composer;
use time::OffsetDateTime;
use tokio::sync::oneshot;

/// The most messages under one signature: a chain of 9 levels.
const MAX_BATCH: usize = 512;
/// The most messages that wait for one key; more are refused rather than kept waiting for ever.
const MAX_WAITING: usize = 8192;

/// Gives the OCSP responses that go into a signature: the signing
/// certificate's own first, then one for each intermediate authority; an
/// error text when one is missing or too old.
pub type CurrentOcsp = Box<dyn Fn(OffsetDateTime) -> Result<Vec<OcspResponse>, String> + Send>;

/// What is told after each private-key operation: how many messages it signed.
pub type OnBatch = Box<dyn Fn(usize) + Send>;

struct Job {
    parts: Vec<PartDigest>,
    reply: oneshot::Sender<Result<MessageSignature, String>>,
}

/// What waits for a key.
#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    /// Somebody has called the worker, or will: whoever comes now need not.
    called: bool,
    /// The worker has ended.
    closed: bool,
}

type Queue = Arc<Mutex<Waiting>>;

fn lock(queue: &Queue) -> MutexGuard<'_, Waiting> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signs for one member with one key.
#[derive(Clone)]
pub struct BatchSigner {
    certificate: Certificate,
    queue: Queue,
    worker: SyncSender<()>,
}

impl std::fmt::Debug for BatchSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchSigner")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Calls the worker when it is dropped, so also when the caller gives up meanwhile.
struct Call<'s>(&'s SyncSender<()>);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // Full means called already; closed means that the worker has ended, which the waiting see.
        let _ = self.0.try_send(());
    }
}

impl BatchSigner {
    /// Starts the worker of a key. It ends when the last clone of the signer is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        certificate: Certificate,
        intermediates: &[Certificate],
        key: Arc<dyn SigningKey>,
        ocsp: CurrentOcsp,
        on_batch: OnBatch,
    ) -> std::io::Result<Self> {
        let (worker, calls) = sync_channel(1);
        let queue = Queue::default();
        let composer = Composer::new(&certificate, intermediates, key.algorithm());
        let jobs = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("signing".into())
            .spawn(move || work(&calls, &jobs, &composer, key.as_ref(), &ocsp, &on_batch))?;
        Ok(Self { certificate, queue, worker })
    }

    /// The signing certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs a message, given by the SHA-512 digests of its parts, the message itself first.
    ///
    /// # Errors
    /// `cannot_create_signature`, telling why.
    pub async fn sign(&self, parts: Vec<PartDigest>) -> Result<MessageSignature, Fault> {
        let refused = |why: &str| Fault::new(codes::CANNOT_CREATE_SIGNATURE, why);
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut waiting = lock(&self.queue);
            if waiting.closed {
                return Err(refused("The signing key is no longer available"));
            }
            if waiting.jobs.len() >= MAX_WAITING {
                return Err(refused("Too many messages wait to be signed"));
            }
            waiting.jobs.push(Job { parts, reply });
            !std::mem::replace(&mut waiting.called, true)
        };
        if first {
            let call = Call(&self.worker);
            tokio::task::yield_now().await;
            drop(call);
        }
        match answer.await {
            Ok(result) => result.map_err(|why| refused(&why)),
            Err(_) => Err(refused("The signing key is no longer available")),
        }
    }
}

fn work(
    calls: &Receiver<()>,
    queue: &Queue,
    composer: &Composer,
    key: &dyn SigningKey,
    ocsp: &CurrentOcsp,
    on_batch: &OnBatch,
) {
    while calls.recv().is_ok() {
        while let Some(batch) = next_batch(queue) {
            let (parts, replies): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|job| (job.parts, job.reply)).unzip();
            let signed = sign_batch(&parts, composer, key, ocsp);
            on_batch(parts.len());
            match signed {
                Ok(signatures) => {
                    for (reply, signature) in replies.into_iter().zip(signatures) {
                        // An error here means only that the caller has gone.
                        let _ = reply.send(Ok(signature));
                    }
                }
                Err(error) => {
                    for reply in replies {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }
    let mut waiting = lock(queue);
    waiting.closed = true;
    waiting.jobs.clear();
}

/// What waits, at most a batch of it; `None` when nothing does, and then the next to come calls again.
fn next_batch(queue: &Queue) -> Option<Vec<Job>> {
    let mut waiting = lock(queue);
    // A caller that has gone needs no signature.
    waiting.jobs.retain(|job| !job.reply.is_closed());
    if waiting.jobs.is_empty() {
        waiting.called = false;
        return None;
    }
    let count = waiting.jobs.len().min(MAX_BATCH);
    Some(waiting.jobs.drain(..count).collect())
}

fn sign_batch(
    parts: &[Vec<PartDigest>],
    composer: &Composer,
    key: &dyn SigningKey,
    ocsp: &CurrentOcsp,
) -> Result<Vec<MessageSignature>, String> {
    let now = OffsetDateTime::now_utc();
    let responses = ocsp(now)?;
    let der: Vec<&[u8]> = responses.iter().map(OcspResponse::der).collect();
    sign(parts, composer, key, &der, now).map_err(|e: SignatureError| e.to_string())
}

/// The signers of all members that this server signs for.
#[derive(Debug, Default)]
pub struct Signers(ArcSwap<HashMap<MemberId, BatchSigner>>);

impl Signers {
    /// Replaces all of them; messages that have a signer already keep it.
    pub fn replace(&self, signers: HashMap<MemberId, BatchSigner>) {
        self.0.store(Arc::new(signers));
    }

    /// The members that can sign.
    pub fn members(&self) -> Vec<MemberId> {
        self.0.load().keys().cloned().collect()
    }

    /// The signer of a member.
    ///
    /// # Errors
    /// `cannot_create_signature` when the member has no active signing key here.
    pub fn of(&self, member: &MemberId) -> Result<BatchSigner, Fault> {
        self.0.load().get(member).cloned().ok_or_else(|| {
            let text = format!("This security server has no active signing key of {member}");
            Fault::new(codes::CANNOT_CREATE_SIGNATURE, text)
        })
    }
}

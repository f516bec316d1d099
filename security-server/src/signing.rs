//! Signing messages in batches.
//!
//! All that waits for a key is signed with one private-key operation; what
//! arrives meanwhile is the next batch. The first message of a batch lets the
//! tasks run that are ready at this moment, and once more as long as that
//! brings others that want to sign: they come along. A lone message finds
//! nobody to let pass and is signed at once; under load the batch grows by
//! itself: no timer, nothing to tune.
//!
//! With a quick key the first message signs for all of them on its own task,
//! sooner than another thread could be woken. Other keys have a worker thread
//! each. While messages come in crowds, it lets as much time pass before a
//! signature as the one before took: that costs each message a moment, and
//! all of them together fewer of the most expensive operation there is.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
/// How often the first of a batch lets others run before it signs.
const MOST_ROUNDS: usize = 8;
/// How many batches the first message of one signs in turn before the worker takes over.
const MOST_IN_TURN: usize = 4;
/// The largest batch that a message signs for others on its task: chains take some microseconds for each.
const MOST_QUICK: usize = 64;
/// A batch of so many messages shows that they come in crowds.
const CROWD: usize = 4;
/// How long after its end a batch tells something of the next.
const CROWD_LASTS: Duration = Duration::from_millis(10);
/// The longest that is waited for a crowd.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
/// The most messages that wait for one key; more are refused rather than kept waiting for ever.
const MAX_WAITING: usize = 8192;

/// Gives the OCSP responses that go into a signature: the signing
/// certificate's own first, then one for each intermediate authority; an
/// error text when one is missing or too old.
pub type CurrentOcsp =
    Box<dyn Fn(OffsetDateTime) -> Result<Vec<OcspResponse>, String> + Send + Sync>;

/// What is told after each private-key operation: how many messages it signed.
pub type OnBatch = Box<dyn Fn(usize) + Send + Sync>;

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
    signing: Arc<Signing>,
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
struct Call<'s> {
    worker: &'s SyncSender<()>,
    needed: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.needed {
            // Full means called already; closed means that the worker has ended, which the waiting see.
            let _ = self.worker.try_send(());
        }
    }
}

/// What signing takes.
struct Signing {
    composer: Composer,
    key: Arc<dyn SigningKey>,
    ocsp: CurrentOcsp,
    on_batch: OnBatch,
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
        let signing = Arc::new(Signing { composer, key, ocsp, on_batch });
        let (jobs, theirs) = (Arc::clone(&queue), Arc::clone(&signing));
        std::thread::Builder::new()
            .name("signing".into())
            .spawn(move || work(&calls, &jobs, &theirs))?;
        Ok(Self { certificate, queue, signing, worker })
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
            self.lead().await;
        }
        match answer.await {
            Ok(result) => result.map_err(|why| refused(&why)),
            Err(_) => Err(refused("The signing key is no longer available")),
        }
    }

    /// Gathers a batch, and signs it or has it signed.
    async fn lead(&self) {
        let mut call = Call { worker: &self.worker, needed: true };
        let mut waiting = 1;
        for _ in 0..MOST_ROUNDS {
            tokio::task::yield_now().await;
            let now = lock(&self.queue).jobs.len();
            if now <= waiting {
                break;
            }
            waiting = now;
        }
        if !self.signing.key.is_quick() {
            return;
        }
        for _ in 0..MOST_IN_TURN {
            if lock(&self.queue).jobs.len() > MOST_QUICK {
                return;
            }
            match next_batch(&self.queue) {
                Some(batch) => self.signing.sign(batch),
                None => {
                    call.needed = false;
                    return;
                }
            }
        }
    }
}

fn work(calls: &Receiver<()>, queue: &Queue, signing: &Signing) {
    let (mut pause, mut ended) = (Duration::ZERO, Instant::now());
    while calls.recv().is_ok() {
        if ended.elapsed() > CROWD_LASTS {
            pause = Duration::ZERO;
        }
        loop {
            std::thread::sleep(pause);
            let Some(batch) = next_batch(queue) else { break };
            let (size, begun) = (batch.len(), Instant::now());
            signing.sign(batch);
            ended = Instant::now();
            pause = pause_after(size, ended - begun);
        }
    }
    let mut waiting = lock(queue);
    waiting.closed = true;
    waiting.jobs.clear();
}

/// How long to wait for others after a batch of this size, whose signature took so long.
fn pause_after(size: usize, took: Duration) -> Duration {
    if size < CROWD { Duration::ZERO } else { took.min(LONGEST_PAUSE) }
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

impl Signing {
    /// Signs a batch, and answers those that wait for it.
    fn sign(&self, batch: Vec<Job>) {
        let (parts, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.parts, job.reply)).unzip();
        let signed = self.sign_parts(&parts);
        (self.on_batch)(parts.len());
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

    fn sign_parts(&self, parts: &[Vec<PartDigest>]) -> Result<Vec<MessageSignature>, String> {
        let now = OffsetDateTime::now_utc();
        let responses = (self.ocsp)(now)?;
        let der: Vec<&[u8]> = responses.iter().map(OcspResponse::der).collect();
        sign(parts, &self.composer, self.key.as_ref(), &der, now)
            .map_err(|e: SignatureError| e.to_string())
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use causeway_keys::{KeyKind, KeyPair};
    use causeway_pki::issue::CertificateTemplate;
    use causeway_pki::{DigestAlgorithm, PkiError, SignatureAlgorithm, name};
    use causeway_signature::MESSAGE;
    use causeway_signature::xades::SignatureDocument;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use time::macros::datetime;

    /// A key that is asked to take its time.
    struct Slow(KeyPair);

    impl SigningKey for Slow {
        fn certificate_public_key(&self) -> &[u8] {
            self.0.certificate_public_key()
        }
        fn algorithm(&self) -> SignatureAlgorithm {
            self.0.algorithm()
        }
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
            self.0.sign(message)
        }
        fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
            self.0.sign_with(digest, message)
        }
    }

    /// A signer, and how many messages it has signed.
    fn signer(quick: bool) -> (BatchSigner, Arc<AtomicUsize>) {
        let key = KeyPair::generate(KeyKind::EcP256).unwrap();
        assert!(key.is_quick() && !Slow(key.clone()).is_quick());
        let (from, to) = (datetime!(2026-01-01 0:00 UTC), datetime!(2036-01-01 0:00 UTC));
        let subject = name::encode(&[("CN", "signer")]).unwrap();
        let template = CertificateTemplate::new(subject, key.public_key(), &[1], from, to);
        let certificate = template.self_sign(&key).unwrap();
        let key: Arc<dyn SigningKey> = if quick { Arc::new(key) } else { Arc::new(Slow(key)) };
        let signed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&signed);
        let on_batch = Box::new(move |messages| {
            counted.fetch_add(messages, Ordering::Relaxed);
        });
        let ocsp: CurrentOcsp = Box::new(|_| Ok(Vec::new()));
        (BatchSigner::start(certificate, &[], key, ocsp, on_batch).unwrap(), signed)
    }

    fn message(number: usize) -> Vec<PartDigest> {
        let digest = DigestAlgorithm::Sha512.digest(&number.to_be_bytes());
        vec![PartDigest { name: MESSAGE.into(), digest }]
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everyone_gets_a_signature() {
        for quick in [true, false] {
            let (signer, signed) = signer(quick);
            for crowd in [1, 100, 1, 2000, 3] {
                let tasks: Vec<_> = (0..crowd)
                    .map(|number| {
                        let signer = signer.clone();
                        tokio::spawn(async move { signer.sign(message(number)).await.unwrap() })
                    })
                    .collect();
                for task in tasks {
                    let signature = task.await.unwrap();
                    let document = SignatureDocument::parse(&signature.signature).unwrap();
                    document.judge_value().unwrap();
                }
            }
            assert_eq!(signed.load(Ordering::Relaxed), 2105);
        }
    }

    /// Polls once; whether it has to wait.
    async fn polled<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_gives_up_keeps_nobody_waiting() {
        for quick in [true, false] {
            let (signer, _) = signer(quick);
            let mut first = Box::pin(signer.sign(message(1)));
            assert!(polled(&mut first).await);
            let mut second = Box::pin(signer.sign(message(2)));
            assert!(polled(&mut second).await);
            // The first was to see to it that both are signed.
            drop(first);
            second.await.unwrap();
        }
    }

    #[test]
    fn only_a_crowd_is_waited_for() {
        let took = Duration::from_millis(1);
        assert_eq!(pause_after(CROWD - 1, took), Duration::ZERO);
        assert_eq!(pause_after(CROWD, took), took);
        assert_eq!(pause_after(CROWD, took * 10), LONGEST_PAUSE);
    }
}

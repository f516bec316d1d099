//! Information systems that ask all the time, and remember what they were answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway_pki::DigestAlgorithm;
use hyper::Method;
use sandbox::{Call, Consumer};
use tokio::task::JoinSet;

use crate::scene::Scene;

/// What one connection waits between two requests; a test is about faults and not about speed.
const PAUSE: Duration = Duration::from_millis(8);

/// An exchange that the client saw answered.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) id: String,
    /// The digest of the body that was sent; that of nothing where there was none.
    pub(crate) request: Vec<u8>,
    /// The digest of the body that came back.
    pub(crate) response: Vec<u8>,
}

/// A load that goes on until it is stopped.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: Mutex<Vec<Answered>>,
    refused: Mutex<BTreeMap<String, usize>>,
    broken: AtomicUsize,
}

/// What became of all requests.
pub(crate) struct Tally {
    pub(crate) answered: Vec<Answered>,
    /// The codes of errors that were answered, and how often each was.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Not answered.
    pub(crate) broken: usize,
}

impl Load {
    /// Begins to ask the portal's server over some connections.
    pub(crate) fn start(scene: &Scene, connections: u64, dice: &mut Dice) -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let consumer = Consumer::new(scene.ecosystem.consumer_url());
            let world = scene.ecosystem.world();
            let call = Call::get(&world.portal.subsystem, &world.measure, "");
            let dice = Dice::new(dice.next() ^ connection);
            tasks.spawn(ask(consumer, call, dice, Arc::clone(&shared)));
        }
        Self { tasks, shared }
    }

    /// How many were answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.lock().unwrap().len()
    }

    /// Ends when what is in flight is done.
    pub(crate) async fn stop(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        Tally {
            answered: std::mem::take(&mut self.shared.answered.lock().unwrap()),
            refused: std::mem::take(&mut self.shared.refused.lock().unwrap()),
            broken: self.shared.broken.load(Ordering::Relaxed),
        }
    }
}

async fn ask(consumer: Consumer, template: Call, mut dice: Dice, shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let (sent, asked) = (size(&mut dice), size(&mut dice));
        let mut body = vec![0; sent];
        body.iter_mut().for_each(|byte| *byte = dice.next().to_le_bytes()[0]);
        let request = digest(&body);
        let call = Call::get(&template.client, &template.service, &format!("/{asked}"));
        let call = if sent > 0 { call.method(Method::POST).body(body) } else { call };
        match consumer.send(call).await {
            Ok(exchange) if exchange.error().is_none() => {
                assert_eq!(exchange.body.len(), asked);
                let response = digest(&exchange.body);
                let answered = Answered { id: exchange.id, request, response };
                shared.answered.lock().unwrap().push(answered);
            }
            Ok(exchange) => {
                let code = exchange.error_code().unwrap_or(exchange.status.as_str()).to_owned();
                *shared.refused.lock().unwrap().entry(code).or_default() += 1;
            }
            Err(_) => {
                shared.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Mostly small bodies and none at all; a few that are spooled, and a few that the log keeps in
/// files of their own.
fn size(dice: &mut Dice) -> usize {
    let most = match dice.below(40) {
        0 => 400_000,
        1..=3 => 100_000,
        4..=12 => return 0,
        _ => 2_000,
    };
    usize::try_from(dice.below(most)).unwrap()
}

/// The digest of a body as a log has it.
pub(crate) fn digest(body: &[u8]) -> Vec<u8> {
    DigestAlgorithm::Sha512.digest(body)
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

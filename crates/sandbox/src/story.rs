//! The story: the portal decides about a child benefit, and every exchange is judged.

use std::path::PathBuf;

use crate::consumer::Exchange;
use crate::evidence::{self, Judged};
use crate::records::CHILD;
use crate::systems::portal::{self, Decision};
use crate::{Ecosystem, SandboxError};

/// How the story went.
#[derive(Debug)]
pub struct Outcome {
    /// What the portal decided, or why it could not.
    pub decision: Result<Decision, SandboxError>,
    /// The exchanges with their evidence, in order.
    pub judged: Vec<Judged>,
    /// The verification configuration, a ZIP file.
    pub configuration: PathBuf,
}

impl Outcome {
    /// Whether a decision was made, and every exchange is proven.
    pub fn is_verified(&self) -> bool {
        self.decision.is_ok()
            && !self.judged.is_empty()
            && self.judged.iter().all(Judged::is_verified)
    }
}

/// Lets the portal decide about the story's child.
pub async fn decide(ecosystem: &Ecosystem) -> (Result<Decision, SandboxError>, Vec<Exchange>) {
    let mut exchanges = Vec::new();
    let decision = match ecosystem.consumer() {
        Ok(consumer) => portal::decide(consumer, ecosystem.world(), CHILD, &mut exchanges).await,
        Err(error) => Err(error),
    };
    (decision, exchanges)
}

/// Has the exchanges of a story judged.
///
/// # Errors
/// When the evidence cannot be had; that it does not hold is told in the outcome.
pub async fn judge(
    ecosystem: &Ecosystem,
    decision: Result<Decision, SandboxError>,
    exchanges: Vec<Exchange>,
) -> Result<Outcome, SandboxError> {
    ecosystem.stamp_now().await?;
    let (configuration, conf) = evidence::configuration(ecosystem).await?;
    let mut judged = Vec::new();
    for exchange in exchanges {
        let evidence = evidence::collect(ecosystem, &exchange, &conf).await?;
        judged.push(Judged { exchange, evidence });
    }
    Ok(Outcome { decision, judged, configuration })
}

/// Runs the story and judges it.
///
/// # Errors
/// As [`judge`].
pub async fn run(ecosystem: &Ecosystem) -> Result<Outcome, SandboxError> {
    let (decision, exchanges) = decide(ecosystem).await;
    judge(ecosystem, decision, exchanges).await
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How a service misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Fault {
    /// Not at all.
    #[default]
    None = 0,
    /// Answers 503.
    Unavailable = 1,
    /// Answers 200 with bytes that mean nothing.
    Garbage = 2,
    /// Takes the request and never answers (until the server's own time limit).
    Silent = 3,
}

/// Makes one service misbehave or be slow, while it runs. Clones act on the same service.
#[derive(Debug, Clone, Default)]
pub struct FaultSwitch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fault: AtomicU8,
    delay_ms: AtomicU64,
}

impl FaultSwitch {
    /// A service that behaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// `false` makes the service answer 503, `true` makes it behave again.
    pub fn set_available(&self, available: bool) {
        self.set_fault(if available { Fault::None } else { Fault::Unavailable });
    }

    /// Sets how the service misbehaves.
    pub fn set_fault(&self, fault: Fault) {
        self.0.fault.store(fault as u8, Ordering::Relaxed);
    }

    /// How the service misbehaves.
    pub fn fault(&self) -> Fault {
        match self.0.fault.load(Ordering::Relaxed) {
            1 => Fault::Unavailable,
            2 => Fault::Garbage,
            3 => Fault::Silent,
            _ => Fault::None,
        }
    }

    /// Delays every answer, misbehaving ones included.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.0.delay_ms.store(millis, Ordering::Relaxed);
    }

    /// The delay of every answer.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.0.delay_ms.load(Ordering::Relaxed))
    }
}

/// Opens and closes the listening socket of a server while it runs: closed, connections are refused by
/// the system, as if the machine were there and the service not.
#[derive(Debug, Clone)]
pub struct ListenSwitch(Arc<watch::Sender<bool>>);

impl Default for ListenSwitch {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl ListenSwitch {
    /// Open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens or closes the socket. Connections that are open already are not touched.
    pub fn set_listening(&self, listening: bool) {
        self.0.send_replace(listening);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

//! Monitoring: the record that each exchange leaves ([`Observed`]), the questions of owners and
//! collectors ([`MonitoringServices`]), and what the server says of its machine.
//!
//! What is kept, for how long, and who may see it, is in `docs/monitoring.md`; formats and the store
//! are `causeway-monitoring`.

mod answer;
mod machine;
mod observed;

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use causeway_monitoring::{Recorder, RecorderSettings, Store, StoreError, StoreSettings};
use tokio::sync::{Semaphore, watch};

pub use answer::MonitoringServices;
use machine::Machine;
pub use observed::Observed;

use crate::settings::MonitoringSettings;

/// How often the machine is looked at (X-Road: 5 s).
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After how many looks the own address is determined anew: 10 minutes, as in X-Road.
const ADDRESS_EVERY: u64 = 120;
/// How many questions for records are answered at once; more wait.
const SEARCHES: usize = 2;
/// How long records wait to be stored together.
const GATHER: Duration = Duration::from_secs(1);

/// What monitoring keeps.
#[derive(Debug)]
pub struct Monitoring {
    /// `None`: exchanges leave no records.
    recorder: Option<Arc<Recorder>>,
    internal_ip: ArcSwap<String>,
    machine: Mutex<Machine>,
    searches: Semaphore,
}

impl Monitoring {
    /// Opens the store, if records are to be kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(settings: &MonitoringSettings) -> Result<Self, StoreError> {
        let recorder = settings.enabled.then(|| start(settings)).transpose()?;
        Ok(Self {
            recorder: recorder.map(Arc::new),
            internal_ip: ArcSwap::from_pointee(internal_ip()),
            machine: Mutex::default(),
            searches: Semaphore::new(SEARCHES),
        })
    }

    /// What records are given to; `None` when they are not kept.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// Looks at the machine now and then, until told to stop.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        for look in 1_u64.. {
            self.machine.lock().unwrap_or_else(PoisonError::into_inner).look();
            if look % ADDRESS_EVERY == 0 {
                self.internal_ip.store(Arc::new(internal_ip()));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Stores what waits.
    pub async fn close(&self) {
        let Some(recorder) = self.recorder.clone() else { return };
        if tokio::task::spawn_blocking(move || recorder.close()).await.is_err() {
            tracing::error!("operational data that waited may not be stored");
        }
    }
}

fn start(settings: &MonitoringSettings) -> Result<Recorder, StoreError> {
    let store = Store::open(StoreSettings {
        folder: settings.dir.clone(),
        keep: settings.keep,
        max_bytes: settings.max_disk,
    })?;
    let recorder = RecorderSettings {
        max_waiting: settings.max_records_in_buffer,
        gather: GATHER,
        health_period_seconds: settings.health_period.as_secs(),
    };
    Recorder::start(store, &recorder)
        .map_err(|error| StoreError::Write { path: settings.dir.clone(), error })
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The address from which this machine would reach others; `0.0.0.0` when it cannot (as in X-Road).
/// Nothing is sent.
fn internal_ip() -> String {
    // A documentation address (RFC 5737): any that the default route leads to would do.
    let ask = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(("192.0.2.1", 9))?;
        socket.local_addr()
    };
    ask().map_or_else(|_| "0.0.0.0".to_owned(), |address| address.ip().to_string())
}

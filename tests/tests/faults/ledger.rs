//! What is in a message log when its server is gone: every record with the auditor's verdict.

use std::collections::HashMap;
use std::path::Path;
use std::thread;

use causeway_globalconf::GlobalConf;
use causeway_messagelog::evidence::write_container;
use causeway_messagelog::{Log, LogSettings, RecordId};

use crate::load::{Answered, digest};

/// A log, read and judged as a whole.
pub(crate) struct Ledger {
    name: String,
    /// Message id and whether it is the response, to the digest of the body.
    records: HashMap<(String, bool), Vec<u8>>,
}

impl Ledger {
    /// Reads a log that nobody has open. Fails unless it is whole, and every record in it is
    /// timestamped and valid.
    pub(crate) async fn read(name: &str, folder: &Path, conf: &GlobalConf) -> Self {
        let log = Log::open(LogSettings::new(folder)).unwrap();
        let recovery = log.recovery();
        assert!(recovery.damages.is_empty(), "{name}: {:?}", recovery.damages);
        assert!(!recovery.rebuilt, "{name}: the index was lost");
        let mut ids = Vec::new();
        loop {
            let from = ids.last().map_or(RecordId(0), |RecordId(last)| RecordId(last + 1));
            let more = log.records_from(from, 10_000).unwrap();
            if more.is_empty() {
                break;
            }
            ids.extend(more);
        }
        let counters = log.counters().unwrap();
        assert_eq!(counters.records, ids.len() as u64, "{name}");
        assert_eq!(counters.untimestamped, 0, "{name}");
        let shares = ids.chunks(ids.len().div_ceil(4).max(1));
        let judged: Vec<_> = thread::scope(|scope| {
            let tasks: Vec<_> = shares.map(|ids| scope.spawn(|| judge(&log, ids, conf))).collect();
            tasks.into_iter().flat_map(|task| task.join().unwrap()).collect()
        });
        let records: HashMap<_, _> = judged.into_iter().collect();
        assert_eq!(records.len(), ids.len(), "{name}: a message is in the log twice");
        log.close().await;
        Self { name: name.to_owned(), records }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Fails unless request and response of an exchange are there, with the bodies that the client
    /// sent and got.
    pub(crate) fn must_have(&self, exchange: &Answered) {
        for (response, body) in [(false, &exchange.request), (true, &exchange.response)] {
            let found = self.records.get(&(exchange.id.clone(), response));
            let what = if response { "response" } else { "request" };
            let found = found.unwrap_or_else(|| {
                panic!(
                    "{}: the {what} of {} is lost, though it was answered",
                    self.name, exchange.id
                )
            });
            assert_eq!(found, body, "{}: the body of the {what} of {}", self.name, exchange.id);
        }
    }
}

type Judged = ((String, bool), Vec<u8>);

fn judge(log: &Log, ids: &[RecordId], conf: &GlobalConf) -> Vec<Judged> {
    let judge = |id: &RecordId| {
        let record = log.record(*id).unwrap().unwrap();
        let mut container = std::io::Cursor::new(Vec::new());
        write_container(&record, &mut container).unwrap();
        let report = sandbox::evidence::judge(container.get_ref(), conf);
        assert!(report.is_valid(), "record {id}: {:?}", report.failure);
        let facts = report.message.unwrap();
        assert_eq!((&facts.id, facts.response), (&record.message_id, record.response));
        let body = record.attachments.first();
        let body = body.map_or_else(|| digest(&[]), |attachment| attachment.digest.to_vec());
        ((record.message_id, record.response), body)
    };
    ids.iter().map(judge).collect()
}

//! Changes that are being made up: each sees those before it, and all are written together.

use std::sync::Arc;

use causeway_identifiers::{ClientId, SecurityServerId};
use serde::Serialize;
use time::OffsetDateTime;

use super::error::reason;
use super::{RequestError, RequestRecord, RequestStatus};
use crate::edit::{Edit, plan};
use crate::records::{Key, ServerRecord, State};
use crate::registry::apply;
use crate::store::Change;

pub(super) struct Draft {
    state: State,
    changes: Vec<Change>,
}

impl Draft {
    pub(super) fn new(state: &State) -> Self {
        Self { state: state.clone(), changes: Vec::new() }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Makes a change under the rules of the records.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), RequestError> {
        for change in plan(&self.state, edit)? {
            self.take(change)?;
        }
        Ok(())
    }

    /// Writes a row that the caller has judged.
    pub(super) fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<(), RequestError> {
        let value = serde_json::to_vec(value).map_err(|e| {
            let text = format!("the record cannot be written: {e}");
            RequestError::new(reason::FAILED, text, "report this")
        })?;
        self.take(Change::Put(key.to_bytes(), value))
    }

    pub(super) fn delete(&mut self, key: Key) -> Result<(), RequestError> {
        self.take(Change::Delete(key.to_bytes()))
    }

    fn take(&mut self, change: Change) -> Result<(), RequestError> {
        apply(&mut self.state, &change)?;
        self.changes.push(change);
        Ok(())
    }

    // Requests

    /// Keeps a new request, under the next number.
    pub(super) fn keep(&mut self, record: &RequestRecord) -> Result<u64, RequestError> {
        let number = self.state.requests.last_key_value().map_or(1, |(last, _)| last + 1);
        self.put(Key::Request(number), record)?;
        Ok(number)
    }

    pub(super) fn request(&self, number: u64) -> Result<&Arc<RequestRecord>, RequestError> {
        self.state.requests.get(&number).ok_or_else(|| {
            let next = "see the requests there are: `central-registry requests list`";
            RequestError::new(reason::NOT_FOUND, format!("there is no request {number}"), next)
        })
    }

    /// The first request of which this is true, in the order in which they came.
    pub(super) fn find(
        &self,
        wanted: impl Fn(&RequestRecord) -> bool,
    ) -> Option<(u64, Arc<RequestRecord>)> {
        let found = self.state.requests.iter().find(|(_, record)| wanted(record));
        found.map(|(number, record)| (*number, Arc::clone(record)))
    }

    /// Sets where a request and its other half stand.
    pub(super) fn set_status(
        &mut self,
        number: u64,
        status: RequestStatus,
        now: OffsetDateTime,
    ) -> Result<(), RequestError> {
        let partner = self.request(number)?.partner;
        for number in std::iter::once(number).chain(partner) {
            let mut record = RequestRecord::clone(self.request(number)?);
            record.status = status;
            record.decided = (!status.is_pending()).then_some(now);
            self.put(Key::Request(number), &record)?;
        }
        Ok(())
    }

    // Records

    pub(super) fn server(
        &self,
        id: &SecurityServerId,
        missing: reason::Reason,
    ) -> Result<ServerRecord, RequestError> {
        self.state.servers.get(id).cloned().ok_or_else(|| {
            let next = "register the server's authentication certificate first";
            RequestError::new(missing, format!("there is no security server {id}"), next)
        })
    }

    pub(super) fn require_client(
        &self,
        server: &SecurityServerId,
        client: &ClientId,
    ) -> Result<(), RequestError> {
        if self.state.clients.contains_key(&(server.clone(), client.clone())) {
            return Ok(());
        }
        let text = format!("{client} is not a client of {server}");
        Err(RequestError::new(reason::NO_CLIENT, text, "register the client first"))
    }
}

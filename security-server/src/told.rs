//! What the log tells of a message that failed.

use causeway_message::Fault;
use causeway_messagelog::Side;

use crate::message::Asked;
use crate::monitoring::Observed;

/// What is known of a message so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) message_id: String,
    pub(crate) client: String,
    pub(crate) service: String,
    /// The exchange's operational data record.
    pub(crate) observed: Observed,
}

impl Told {
    /// The message was read.
    pub(crate) fn learn(&mut self, request: &Asked) {
        self.message_id.clone_from(&request.message_id);
        self.client = request.client.to_short();
        self.service = request.service.to_short();
        self.observed.asked(request);
    }

    /// A line in the log: the message failed with this fault.
    pub(crate) fn log_failure(&self, side: Side, fault: &Fault) {
        self.observed.failed(fault);
        let side = match side {
            Side::Consumer => "consumer",
            Side::Provider => "provider",
        };
        tracing::warn!(
            message_id = %self.message_id, client = %self.client, service = %self.service, side,
            code = fault.code(), detail = fault.detail(), "request failed: {}", fault.message()
        );
    }
}

//! The services that a server itself answers for its owner: records, health of services, metrics of
//! the machine (`pr-opmon`; X-Road's environmental monitoring). All are SOAP, as in X-Road 7.8,
//! which has no REST form of them.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use causeway_message::{Fault, codes};
use causeway_monitoring::environment::{
    CertificateKind, CertificateMetric, Metric, certificates, metrics_response,
};
use causeway_monitoring::request::{
    HEALTH_DATA, HealthQuery, METRICS, MetricsQuery, OPERATIONAL_DATA, OperationalQuery,
};
use causeway_monitoring::view::{MetricsView, View};
use causeway_monitoring::{Recorder, response};
use causeway_pki::Certificate;
use causeway_transport::PartHeaders;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Monitoring, now_ms};
use crate::message::{Asked, Kind};
use crate::provider_side::{Made, MadeAnswer, OwnService};
use crate::server::Server;
use crate::service_call::Attachments;
use crate::settings::Client;

/// How long a question waits for those before it.
const TURN: std::time::Duration = std::time::Duration::from_secs(60);

/// The prefix of what goes wrong in answering questions for records and health (X-Road's, where a
/// daemon of its own answers them).
const OPERATIONAL_PREFIX: &str = "server.serverproxy.opmonitor";

/// The services that the server answers for its owner.
#[derive(Debug)]
pub struct MonitoringServices {
    owner: ClientId,
    /// Whether there are records to ask for; if not, the services for them are unknown.
    recorded: bool,
}

impl MonitoringServices {
    /// The services of a server with this owner.
    pub fn new(owner: ClientId, monitoring: &Monitoring) -> Self {
        Self { owner, recorded: monitoring.recorder().is_some() }
    }
}

impl OwnService for MonitoringServices {
    fn is_asked(&self, request: &Asked) -> bool {
        let service = &request.service;
        *service.client() == self.owner
            && matches!(request.kind, Kind::Soap(_))
            && match service.code() {
                // X-Road looks at the code alone for these two, and at the whole identifier for the third.
                OPERATIONAL_DATA | HEALTH_DATA => self.recorded,
                METRICS => service.version().is_none(),
                _ => false,
            }
    }

    fn answer<'a>(
        &'a self,
        server: &'a Arc<Server>,
        _: &'a Client,
        request: &'a Asked,
        _: &'a Attachments,
        conf: &'a GlobalConf,
    ) -> MadeAnswer<'a> {
        Box::pin(async move {
            let answer = match request.service.code() {
                METRICS => server.environment(request, conf)?,
                HEALTH_DATA => server.health_data(request).map_err(of_daemon)?,
                _ => server.operational_data(request, conf).await.map_err(of_daemon)?,
            };
            let envelope = response::envelope(&request.bytes, &answer.body)?;
            let attachment = answer.attachment.map(|records| {
                let headers = PartHeaders::of_content_type(response::RECORDS_TYPE)
                    .with("Content-Transfer-Encoding", "binary")
                    .with("Content-ID", &format!("<{}>", response::RECORDS_ID));
                (headers, Bytes::from(records))
            });
            Ok(Made::Soap(envelope.into(), attachment.into_iter().collect()))
        })
    }
}

fn of_daemon(fault: Fault) -> Fault {
    fault.with_prefix(OPERATIONAL_PREFIX)
}

/// What is answered: the SOAP body's element, and the records, when they were asked for.
struct Answer {
    body: String,
    attachment: Option<Vec<u8>>,
}

impl Server {
    async fn operational_data(&self, request: &Asked, conf: &GlobalConf) -> Result<Answer, Fault> {
        let settings = self.settings();
        let recorder = self.monitoring.kept()?;
        let (asked, appointed) = (request.target.as_ref(), conf.monitoring_client());
        let view = View::of(&request.client, asked, &settings.server, appointed);
        let query = OperationalQuery::parse(&request.bytes)?;
        let wanted = &settings.monitoring;
        let (search, later) = query.search(
            view.party(),
            now_ms() / 1000,
            wanted.available_after.as_secs(),
            wanted.max_records_in_payload,
        )?;
        let fields = view.fields(query.fields);
        let failed = |why: String| {
            tracing::error!("operational data cannot be given: {why}");
            Fault::new(codes::INTERNAL_ERROR, "Failed to get records for response")
        };
        let turn = tokio::time::timeout(TURN, self.monitoring.searches.acquire()).await;
        let turn = turn.map_err(|_| failed("too many ask at once".to_owned()))?;
        let _turn = turn.map_err(|e| failed(e.to_string()))?;
        let looking = tokio::task::spawn_blocking(move || {
            let found = recorder.search(&search).map_err(|e| e.to_string())?;
            if found.damaged > 0 {
                tracing::warn!(
                    batches = found.damaged,
                    "operational data is damaged on disk, and left out of an answer"
                );
            }
            let packed = response::records(&found.records, fields).map_err(|e| e.to_string())?;
            Ok::<_, String>((found.records.len(), found.next_from, packed))
        });
        let found = looking.await.map_err(|e| e.to_string()).and_then(|found| found);
        let (count, next, attachment) = found.map_err(failed)?;
        let body = response::operational_data(count, next.or(later));
        Ok(Answer { body, attachment: Some(attachment) })
    }

    fn health_data(&self, request: &Asked) -> Result<Answer, Fault> {
        let recorder = self.monitoring.kept()?;
        let query = HealthQuery::parse(&request.bytes)?;
        let services = recorder.health(query.provider.as_ref());
        let period = recorder.health_period_seconds();
        let body = response::health_data(recorder.started_ms(), period, &services);
        Ok(Answer { body, attachment: None })
    }

    fn environment(&self, request: &Asked, conf: &GlobalConf) -> Result<Answer, Fault> {
        let settings = self.settings();
        let (appointed, limited) =
            (conf.monitoring_client(), settings.monitoring.limit_remote_metrics);
        let view = MetricsView::of(&request.client, &settings.server, appointed, limited);
        let view = view.ok_or_else(|| {
            let text = format!("Request is not allowed: {}", request.service);
            Fault::new(codes::ACCESS_DENIED, text)
        })?;
        let query = MetricsQuery::parse(&request.bytes)?;
        let mut metrics = vec![certificates(&self.own_certificates())];
        metrics.extend(self.monitoring.machine_metrics(&settings.data_dir));
        let server = format!("SERVER:{}", settings.server.to_short());
        let body = metrics_response(&server, crate::PROTOCOL_VERSION, metrics, &query, view);
        Ok(Answer { body, attachment: None })
    }

    /// The certificates of this server and of its clients' information systems, each once.
    fn own_certificates(&self) -> Vec<CertificateMetric> {
        let settings = self.settings();
        let signing = self.signers.members().into_iter().filter_map(|member| {
            Some((
                self.signers.of(&member).ok()?.certificate().clone(),
                CertificateKind::AuthOrSign,
            ))
        });
        let authentication = self.authentication_certificate();
        let authentication = authentication.map(|c| (c, CertificateKind::AuthOrSign));
        let internal = self.internal_certificate().cloned();
        let internal = internal.map(|c| (c, CertificateKind::ServerTls));
        let systems = settings.clients.iter().flat_map(|client| client.certificates.iter());
        let systems = systems.map(|c| (c.clone(), CertificateKind::ClientTls));
        let mut seen = std::collections::HashSet::new();
        signing
            .chain(authentication)
            .chain(internal)
            .chain(systems)
            .filter(|(certificate, _)| seen.insert(certificate.sha256()))
            .map(|(certificate, kind)| metric(&certificate, kind))
            .collect()
    }
}

impl Monitoring {
    fn kept(&self) -> Result<Arc<Recorder>, Fault> {
        self.recorder.clone().ok_or_else(|| {
            Fault::new(codes::UNKNOWN_SERVICE, "This server keeps no operational data")
        })
    }

    fn machine_metrics(&self, data_dir: &Path) -> Vec<Metric> {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.metrics(data_dir, &instant(OffsetDateTime::now_utc()))
    }
}

fn metric(certificate: &Certificate, kind: CertificateKind) -> CertificateMetric {
    CertificateMetric {
        hash: certificate.sha256().to_vec(),
        not_before: instant(certificate.not_before()),
        not_after: instant(certificate.not_after()),
        kind,
        active: true,
    }
}

fn instant(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

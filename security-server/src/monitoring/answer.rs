//! The services that a server itself answers for its owner: records, health of services, metrics of
//! the machine (`pr-opmon`; X-Road's environmental monitoring). All are SOAP, as in X-Road 7.8,
//! which has no REST form of them.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use causeway_identifiers::{ClientId, SecurityServerId, ServiceId};
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
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Monitoring, now_ms};
use crate::server::Server;

/// An answer of the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The element that goes into the SOAP body; it declares its own namespaces.
    pub body: String,
    /// The attachment, if there is one; its content id is [`response::RECORDS_ID`], its media type
    /// [`response::RECORDS_TYPE`], its transfer encoding binary.
    pub attachment: Option<Vec<u8>>,
}

/// Whether the server itself answers for this service. A server that keeps no records answers no
/// questions about them: the service is then unknown.
pub fn answers(server: &Server, service: &ServiceId) -> bool {
    let owner = *service.client() == server.settings().server.owner().as_client();
    let recorded = server.monitoring.recorder().is_some();
    owner
        && match service.code() {
            // X-Road looks at the code alone for these two, and at the whole identifier for the third.
            OPERATIONAL_DATA | HEALTH_DATA => recorded,
            METRICS => service.version().is_none(),
            _ => false,
        }
}

impl Server {
    /// Whether a client may ask for this service of the server itself; before the body is looked at.
    ///
    /// # Errors
    /// `access_denied`. Records and health may be asked for by anybody: what is seen depends on who asks.
    pub fn judge_monitoring(&self, client: &ClientId, service: &ServiceId) -> Result<(), Fault> {
        if service.code() == METRICS {
            self.metrics_view(client, service)?;
        }
        Ok(())
    }

    /// Answers a question that [`answers`] says is for the server itself. `asked` is the server that
    /// the request names.
    ///
    /// # Errors
    /// `access_denied` for who may not ask; `server.serverproxy.service_failed.…` or
    /// `client.invalid_request` for what cannot be answered.
    pub async fn answer_monitoring(
        &self,
        client: &ClientId,
        service: &ServiceId,
        asked: Option<&SecurityServerId>,
        soap: &[u8],
    ) -> Result<Answer, Fault> {
        match service.code() {
            OPERATIONAL_DATA => self.operational_data(client, asked, soap).await,
            HEALTH_DATA => self.health_data(soap),
            METRICS => self.environment(client, service, soap),
            code => Err(Fault::new(codes::UNKNOWN_SERVICE, format!("Unknown service: {code}"))),
        }
    }

    async fn operational_data(
        &self,
        client: &ClientId,
        asked: Option<&SecurityServerId>,
        soap: &[u8],
    ) -> Result<Answer, Fault> {
        let settings = self.settings();
        let recorder = self.monitoring.kept()?;
        let conf = self.valid_global_conf(OffsetDateTime::now_utc())?;
        let view = View::of(client, asked, &settings.server, conf.monitoring_client());
        let query = OperationalQuery::parse(soap)?;
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
        let turn = self.monitoring.searches.acquire().await;
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

    fn health_data(&self, soap: &[u8]) -> Result<Answer, Fault> {
        let recorder = self.monitoring.kept()?;
        let query = HealthQuery::parse(soap)?;
        let services = recorder.health(query.provider.as_ref());
        let period = recorder.health_period_seconds();
        let body = response::health_data(recorder.started_ms(), period, &services);
        Ok(Answer { body, attachment: None })
    }

    fn environment(
        &self,
        client: &ClientId,
        service: &ServiceId,
        soap: &[u8],
    ) -> Result<Answer, Fault> {
        let view = self.metrics_view(client, service)?;
        let query = MetricsQuery::parse(soap)?;
        let settings = self.settings();
        let mut metrics = vec![certificates(&self.own_certificates())];
        metrics.extend(self.monitoring.machine_metrics(&settings.data_dir));
        let server = format!("SERVER:{}", settings.server.to_short());
        let body = metrics_response(&server, crate::PROTOCOL_VERSION, metrics, &query, view);
        Ok(Answer { body, attachment: None })
    }

    fn metrics_view(&self, client: &ClientId, service: &ServiceId) -> Result<MetricsView, Fault> {
        let settings = self.settings();
        let conf = self.valid_global_conf(OffsetDateTime::now_utc())?;
        let limited = settings.monitoring.limit_remote_metrics;
        MetricsView::of(client, &settings.server, conf.monitoring_client(), limited).ok_or_else(
            || Fault::new(codes::ACCESS_DENIED, format!("Request is not allowed: {service}")),
        )
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

//! What ecosystems left behind: one for each kind of key, run once for all tests.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use causeway_asic::{Container, Limits};
use causeway_globalconf::GlobalConf;
use causeway_keys::{KeyKind, SoftwareToken};
use causeway_pki::Certificate;
use central_registry::ConfigurationKind;
use hyper::Method;
use sandbox::{Call, Consumer, Ecosystem, Exchange, Options, evidence, records};
use tokio::task::JoinSet;

/// How many requests are sent at once.
const AT_ONCE: usize = 24;
/// How many times that is tried until messages shared a signature.
const ROUNDS: usize = 20;
/// The versions of the global configuration.
pub(crate) const VERSIONS: std::ops::RangeInclusive<u8> = 2..=6;

/// What the signature refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Signed {
    /// The message itself.
    Message,
    /// The hash chain of one message with its body.
    Parts,
    /// The hash chain of several messages.
    Batch,
}

/// What sets containers apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) signed: Signed,
    pub(crate) body: bool,
    pub(crate) batch_timestamp: bool,
    pub(crate) response: bool,
    pub(crate) server: String,
}

/// A container from a security server's log.
pub(crate) struct Sample {
    pub(crate) shape: Shape,
    pub(crate) bytes: Bytes,
    pub(crate) container: Container,
    pub(crate) report: auditor::Report,
}

/// A published configuration with the files that it names.
pub(crate) struct Published {
    pub(crate) kind: ConfigurationKind,
    pub(crate) version: u8,
    pub(crate) directory: Bytes,
    pub(crate) files: Vec<(String, Bytes)>,
}

/// What an ecosystem left behind.
pub(crate) struct Samples {
    pub(crate) key: KeyKind,
    pub(crate) conf: GlobalConf,
    /// The verification configuration as a security server hands it out, a ZIP file.
    pub(crate) verification: Vec<u8>,
    /// One container of each shape.
    pub(crate) containers: Vec<Sample>,
    pub(crate) ca: Certificate,
    pub(crate) responder: Certificate,
    /// Certificates with what port 5577 of their server answered.
    pub(crate) responses: Vec<(Certificate, Bytes)>,
    pub(crate) published: Vec<Published>,
    pub(crate) anchors: [(ConfigurationKind, Vec<u8>); 2],
}

impl Samples {
    /// Those of a kind of key.
    pub(crate) fn of(key: KeyKind) -> Arc<Self> {
        static RSA: OnceLock<Arc<Samples>> = OnceLock::new();
        static EC: OnceLock<Arc<Samples>> = OnceLock::new();
        let made = match key {
            KeyKind::Rsa2048 => &RSA,
            KeyKind::EcP256 => &EC,
            other => panic!("no samples of {other}"),
        };
        Arc::clone(made.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            Arc::new(runtime.block_on(gather(key)))
        }))
    }

    /// Those of both kinds.
    pub(crate) fn all() -> impl Iterator<Item = Arc<Self>> {
        [KeyKind::EcP256, KeyKind::Rsa2048].into_iter().map(Self::of)
    }

    /// A container with this kind of signature, body and timestamp.
    pub(crate) fn find(&self, signed: Signed, body: bool, batch_timestamp: bool) -> &Sample {
        let wanted = |sample: &&Sample| {
            let shape = &sample.shape;
            (shape.signed, shape.body, shape.batch_timestamp) == (signed, body, batch_timestamp)
        };
        self.containers.iter().find(wanted).expect("there is one of each")
    }
}

async fn gather(key: KeyKind) -> Samples {
    // Timestamps come when they are asked for.
    let options =
        Options { key, timestamping_interval: Duration::from_secs(3600), ..Options::for_tests() };
    let ecosystem = Ecosystem::start(options).await.unwrap();
    let mut exchanges = stamped_singly(&ecosystem).await;
    for with_body in [false, true] {
        exchanges.push(ecosystem.send(call(&ecosystem, with_body)).await.unwrap());
    }
    let mut collected = Vec::new();
    for round in 0.. {
        exchanges.extend(at_once(&ecosystem).await);
        ecosystem.stamp_now().await.unwrap();
        let (_, conf) = evidence::configuration(&ecosystem).await.unwrap();
        collect(&ecosystem, std::mem::take(&mut exchanges), &conf, &mut collected).await;
        let batch = |body| {
            let wanted =
                |sample: &Sample| sample.shape.signed == Signed::Batch && sample.shape.body == body;
            collected.iter().any(wanted)
        };
        if batch(false) && batch(true) {
            break;
        }
        assert!(round < ROUNDS, "messages sent at once never shared a signature");
    }
    let (path, conf) = evidence::configuration(&ecosystem).await.unwrap();
    let registry = ecosystem.registry();
    let kinds = [ConfigurationKind::Internal, ConfigurationKind::External];
    let samples = Samples {
        key,
        conf,
        verification: std::fs::read(path).unwrap(),
        containers: collected,
        ca: ecosystem.authorities().ca().certificate().clone(),
        responder: ecosystem.authorities().ocsp_certificate().clone(),
        responses: responses(&ecosystem).await,
        published: published(&ecosystem).await,
        anchors: kinds.map(|kind| (kind, registry.anchor(kind).unwrap())),
    };
    ecosystem.stop().await;
    samples
}

/// A request that the population register answers at once.
fn call(ecosystem: &Ecosystem, with_body: bool) -> Call {
    let world = ecosystem.world();
    let from = &world.portal.subsystem;
    if with_body {
        Call::get(from, &world.measure, "/700").method(Method::POST).body(vec![b'x'; 500])
    } else {
        Call::get(from, &world.persons, &format!("/{}", records::CHILD))
    }
}

/// Exchanges whose messages were timestamped one by one: the requests while their answers were awaited.
async fn stamped_singly(ecosystem: &Ecosystem) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for with_body in [false, true] {
        ecosystem.systems().population.set_delay(Duration::from_millis(1500));
        let asked = ecosystem.send(call(ecosystem, with_body));
        let stamped = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            ecosystem.stamp_now().await.unwrap();
        };
        let (exchange, ()) = tokio::join!(asked, stamped);
        exchanges.push(exchange.unwrap());
        ecosystem.stamp_now().await.unwrap();
    }
    ecosystem.systems().population.set_delay(Duration::ZERO);
    exchanges
}

/// Several exchanges at once, so that messages share signatures.
async fn at_once(ecosystem: &Ecosystem) -> Vec<Exchange> {
    let mut sending = JoinSet::new();
    for number in 0..AT_ONCE {
        let (consumer, call) =
            (ecosystem.consumer().unwrap().clone(), call(ecosystem, number % 2 == 0));
        sending.spawn(async move { consumer.send(call).await.unwrap() });
    }
    sending.join_all().await
}

/// Adds the containers of exchanges whose shape is not there yet. All of them must hold.
async fn collect(
    ecosystem: &Ecosystem,
    exchanges: Vec<Exchange>,
    conf: &GlobalConf,
    collected: &mut Vec<Sample>,
) {
    for exchange in exchanges {
        assert_eq!(exchange.error(), None);
        let found = evidence::collect(ecosystem, &exchange, conf).await.unwrap();
        assert_eq!(found.len(), evidence::Judged::CONTAINERS);
        for evidence::Evidence { server, response, container: bytes, report } in found {
            assert!(report.is_valid(), "{:?}", report.failure);
            let container = Container::read(&bytes, &Limits::default()).unwrap();
            let shape = shape(&container, response, server);
            if !collected.iter().any(|sample| sample.shape == shape) {
                collected.push(Sample { shape, bytes, container, report });
            }
        }
    }
}

fn shape(container: &Container, response: bool, server: String) -> Shape {
    let chain = container.sig_hash_chain.as_ref().map(|chain| String::from_utf8_lossy(chain));
    let signed = match chain {
        None => Signed::Message,
        Some(chain) if chain.contains("HashValue") => Signed::Batch,
        Some(_) => Signed::Parts,
    };
    let body = !container.attachments.is_empty();
    Shape { signed, body, batch_timestamp: container.timestamp.is_some(), response, server }
}

/// What each server's port 5577 says of all its certificates, asked for together.
async fn responses(ecosystem: &Ecosystem) -> Vec<(Certificate, Bytes)> {
    let mut all = Vec::new();
    for server in ecosystem.servers() {
        let token = ecosystem.folder().join(server.name()).join("data/token");
        let keys = SoftwareToken::open(token).unwrap().keys();
        let certificates: Vec<_> =
            keys.into_iter().flat_map(|key| key.certificates).map(|c| c.certificate).collect();
        let query: Vec<_> =
            certificates.iter().map(|c| format!("cert={}", hexadecimal(&c.sha1()))).collect();
        let consumer = Consumer::new(format!("http://{}", server.addresses().ocsp));
        let answer = consumer.get(&format!("/?{}", query.join("&"))).await.unwrap();
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let parts = multipart(&content_type, answer.body());
        assert_eq!(parts.len(), certificates.len());
        all.extend(certificates.into_iter().zip(parts));
    }
    all
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bodies of a multipart message's parts.
fn multipart(content_type: &str, body: &Bytes) -> Vec<Bytes> {
    let boundary = content_type.split("boundary=").nth(1).unwrap().trim_matches('"');
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut at = find(body, delimiter.as_bytes()).unwrap() + delimiter.len();
    while !body[at..].starts_with(b"--") {
        let start = at + find(&body[at..], b"\r\n\r\n").unwrap() + 4;
        let end = start + find(&body[start..], format!("\r\n{delimiter}").as_bytes()).unwrap();
        parts.push(body.slice(start..end));
        at = end + 2 + delimiter.len();
    }
    parts
}

/// The first place of a pattern.
pub(crate) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// All published configurations, fetched as any client fetches them.
async fn published(ecosystem: &Ecosystem) -> Vec<Published> {
    let consumer = Consumer::new(format!("http://{}", ecosystem.addresses().registry()));
    let mut all = Vec::new();
    for version in VERSIONS {
        let kinds = [
            (ConfigurationKind::Internal, "internalconf"),
            (ConfigurationKind::External, "externalconf"),
        ];
        for (kind, name) in kinds {
            let answer = consumer.get(&format!("/{name}?version={version}")).await.unwrap();
            assert!(answer.status().is_success(), "{name} {version}");
            let directory = answer.into_body();
            let text = String::from_utf8(directory.to_vec()).unwrap();
            let mut files = Vec::new();
            for path in text.lines().filter_map(|line| line.strip_prefix("Content-location: ")) {
                let file = consumer.get(path.trim()).await.unwrap();
                assert!(file.status().is_success(), "{path}");
                files.push((path.trim().to_owned(), file.into_body()));
            }
            all.push(Published { kind, version, directory, files });
        }
    }
    all
}

//! What the cases of X-Road's suite need: content types, answers, changed configurations, fake servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sandbox::Ecosystem;
use tokio_rustls::TlsAcceptor;
use toml::{Table, Value};

use super::exchanges::Row;
use super::peers::{Mode, Switch, ask_as, authentication, ocsp_response, stranger};
use super::{Message, outcome, post, send};
use crate::provider::{Provider, Seen, response};
use crate::scene::{self, POPULATION, PORTAL, TAX, add_service, client, for_portal, service, set};
use crate::wire::Answer;

const XML: &str = "text/xml; charset=UTF-8";
const RELATED: &str = "multipart/related; charset=UTF-8; boundary=jetty771207119h3h10dty";
const MTOM: &str = "Multipart/Related; start-info=\"application/soap+xml\"; type=\"application/xop+xml\"; boundary=\"jetty771207119h3h10dty\"";
/// The services of the suite.
const SERVICES: [&str; 4] = ["getState", "test", "testQuery", "generateMtom"];

/// When a case has its turn: connections that are kept lead past what comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum When {
    /// Nobody listens yet where the provider's server is.
    NobodyListens,
    FakeServer,
    #[default]
    RealServer,
    /// It spoils the scene.
    Last,
}

type Change = fn(&mut Table);

/// Who asks.
#[derive(Default)]
enum Caller {
    #[default]
    Plain,
    /// Over TLS with the certificate of the client, another one, an expired one, or none.
    Tls(Shown),
    /// Another security server.
    Server,
}

#[derive(Clone, Copy)]
enum Shown {
    Right,
    Wrong,
    Expired,
}

/// What a case needs beside its files.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) when: When,
    /// The table's outcome is worded for X-Road's suite: this is it.
    pub(crate) expected: Option<String>,
    pub(crate) not_applicable: Option<&'static str>,
    content_type: Option<&'static str>,
    answer_type: Option<&'static str>,
    /// The service's whole answer.
    raw_answer: Option<fn(&Stage) -> Vec<u8>>,
    /// What a fake server answers with: content type and body, or everything.
    fake: Option<Fake>,
    headers: &'static str,
    get: bool,
    bom: bool,
    caller: Caller,
    with_ocsp: bool,
    at_consumer: Option<Change>,
    at_provider: Option<Change>,
    rename: Option<(&'static str, &'static str)>,
    tls_service: bool,
}

enum Fake {
    Answers(&'static str),
    Raw(&'static str),
    Aborts,
    Wrong,
    Stranger,
}

/// The set-up of a case.
pub(crate) fn setup(row: &Row) -> Setup {
    let mut s = Setup::default();
    let mut related = |request: bool, answer: bool| {
        s.content_type = request.then_some(RELATED);
        s.answer_type = answer.then_some(RELATED);
    };
    match row.case.as_str() {
        "Attachment"
        | "AttachmentFaulty"
        | "AttachmentFaultySoap"
        | "AttachmentNoSoap"
        | "EmptyMultipartRequest"
        | "SeveralAttachments" => related(true, false),
        "AttachmentFaultySoapResponse"
        | "AttachmentNoSoapResponse"
        | "EmptyMultipartResponse"
        | "ServerProxyAttachmentError" => related(false, true),
        "MimeSoap" | "SeveralAttachmentsResponse" => related(true, true),
        _ => {}
    }
    let fake = |s: &mut Setup, answer: Fake| {
        s.when = When::FakeServer;
        s.fake = Some(answer);
    };
    match row.case.as_str() {
        "Attachment2" | "Utf8BomAttachment2" => {
            s.content_type = Some("multipart/related; boundary=jetty771207119h3h10dty");
            s.answer_type = Some(RELATED);
        }
        "AttachmentBig" => {
            s.content_type = Some("multipart/related; charset=UTF-8; boundary=big");
        }
        "AttachmentMTOM" | "SoapFaultInMultipartResponse" => {
            s.content_type = Some(MTOM);
            s.answer_type = Some(
                "Multipart/Related; start-info=\"application/soap+xml\"; type=\"application/xop+xml\"; boundary=\"jetty771207119h3h10dty\";charset=UTF-8",
            );
            if row.case == "SoapFaultInMultipartResponse" {
                // X-Road's case is content with a fault that says what the service's says.
                s.expected = Some("soap:Server".to_owned());
            }
        }
        "AttachmentSmallMantis" => {
            s.content_type = Some(
                "multipart/related; start-info=text/xml; type='application/xop+xml'; boundary=:gkMa5KAvuHP7ahe9IQHONLgnncvv:",
            );
        }
        "FaultyRequestContentType" => s.content_type = Some("blah"),
        "FaultyResponseContentType" => s.answer_type = Some("blah"),
        "NonUtf8ResponseContentType" | "ServiceFaultyFault" => s.answer_type = Some("text/xml"),
        "ServiceFaultyMultipart" => {
            s.answer_type =
                Some("multipart/related; boundary=jetty771207119h3h10dty; charset=utf-8");
        }
        "SoapActionEmptyHeader" => s.headers = "SOAPAction: \r\n",
        "SoapActionHeader" => s.headers = "SOAPAction: \"\"\r\n",
        "SoapActionMalformedHeader" => s.headers = "SOAPAction: http://example.org/action\r\n",
        "Utf8BomNormalSubsystem" => s.bom = true,
        "WrongHttpMethod" => s.get = true,

        "InvalidProviderAddress3" => {
            s.content_type = Some(RELATED);
            s.rename = Some((">1001<", ">9999<"));
        }
        "InvalidServiceAddress" | "InvalidServiceAddress2" => {
            if row.case.ends_with('2') {
                s.content_type = Some(RELATED);
            }
            s.at_provider = Some(|table| {
                for code in SERVICES {
                    set(
                        service(table, POPULATION, code),
                        "url",
                        "http://non.existing.invalid/service",
                    );
                }
            });
        }
        "NotAllowed" => {
            s.at_provider = Some(|table| {
                for code in SERVICES {
                    set(service(table, POPULATION, code), "allow", Value::Array(Vec::new()));
                }
            });
        }
        "ServiceDisabled" => {
            s.at_provider = Some(|table| {
                set(service(table, POPULATION, "getState"), "disabled", "Service is disabled");
            });
        }
        "UnknownService" => {
            s.at_provider = Some(|table| {
                set(service(table, POPULATION, "getState"), "code", "another");
            });
        }
        "ServiceConnectionAborted" => {
            s.raw_answer = Some(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec());
        }
        "ServiceHttpError" => {
            s.raw_answer =
                Some(|_| response("502 Bad Gateway", "Content-Type: text/html\r\n", b"no"));
        }
        "ServiceReturnsFault" => {
            s.raw_answer = Some(|stage| {
                let fault = stage.file("fault.query");
                response("500 Internal Server Error", "Content-Type: text/xml\r\n", &fault)
            });
        }

        "InvalidContentTypeFromServerProxy" => fake(&mut s, Fake::Answers("oih")),
        "ServerProxyConnectionAborted" => fake(&mut s, Fake::Aborts),
        "ServerProxyConnectionAborted2" => fake(
            &mut s,
            Fake::Raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n"),
        ),
        "ServerProxyConnectionAborted3" => fake(
            &mut s,
            Fake::Raw(
                "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=foobar\r\nContent-Length: 1000\r\n\r\n",
            ),
        ),
        "ServerProxyEmptyFault" => fake(&mut s, Fake::Answers(XML)),
        "ServerProxyFaultyAttachment" => fake(
            &mut s,
            Fake::Answers("multipart/mixed; charset=UTF-8; boundary=jetty771207119h3h10dty"),
        ),
        "ServerProxyHttpError" => {
            fake(&mut s, Fake::Raw("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
        }
        "ServerProxyInvalidFault" => {
            fake(&mut s, Fake::Answers("text/xml; charset=\"UTF-8\"; boundary=foobar"));
        }
        "ServerProxyMissingBody" => {
            fake(&mut s, Fake::Answers("text/xml; boundary=jetty771207119h3h10dty"));
        }
        "ServerProxyNoBoundary" => fake(
            &mut s,
            Fake::Raw(
                "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed\r\nx-hash-algorithm: SHA-512\r\nContent-Length: 0\r\n\r\n",
            ),
        ),
        "UnsignedMessageFromServerProxy" => fake(
            &mut s,
            Fake::Answers("multipart/mixed; charset=UTF-8; boundary=jetty42534330h7vzfqv2"),
        ),
        // X-Road's suite says in its own configuration that the certificate is not the member's.
        "SslAuthCertNotMatchesOrg" | "SslClientCertVerificationError" => fake(&mut s, Fake::Wrong),
        "SslAuthTrustManagerError" => fake(&mut s, Fake::Stranger),
        "SslSelectFastestProxyNoConnections" => s.when = When::NobodyListens,

        "InvalidContentTypeFromClientProxy" => s.caller = Caller::Server,
        "NoSoapToServerProxy" => {
            s.content_type =
                Some("multipart/mixed; charset=UTF-8; boundary=jetty771207119h3h10dty");
            s.caller = Caller::Server;
        }
        "NoSignatureToServerProxy" => {
            s.content_type =
                Some("multipart/mixed; boundary=jetty42534330h7vzfqv2;charset=ISO-8859-1");
            (s.caller, s.with_ocsp) = (Caller::Server, true);
        }
        "UnsignedMessageFromClientProxy" => {
            s.content_type =
                Some("multipart/mixed; charset=UTF-8; boundary=jetty771207119h3h10dty");
            (s.caller, s.with_ocsp) = (Caller::Server, true);
        }
        "ServerProxyProcessingError" => {
            s.content_type = Some("multipart/mixed; boundary=foobar");
            s.caller = Caller::Server;
        }
        "WrongHttpMethodServerProxy" => (s.caller, s.get) = (Caller::Server, true),

        "SslClientAuth" => {
            s.caller = Caller::Tls(Shown::Right);
            s.at_consumer = Some(|table| require_certificate(table, &["portal.crt"]));
        }
        "SslClientAuthNoISCert" => {
            s.caller = Caller::Tls(Shown::Right);
            s.at_consumer = Some(|table| require_certificate(table, &[]));
        }
        "SslClientAuthWrongISCert" => {
            s.caller = Caller::Tls(Shown::Wrong);
            s.at_consumer = Some(|table| require_certificate(table, &["portal.crt"]));
        }
        "SslClientAuthExpiredISCert" => {
            s.caller = Caller::Tls(Shown::Expired);
            // The code is that of servers where the operator has the validity enforced; X-Road's default is not to.
            s.at_consumer = Some(|table| {
                require_certificate(table, &["expired.crt"]);
                set(table, "tls.check_client_dates", true);
            });
        }
        "SslToServiceAuth" => {
            s.tls_service = true;
            s.at_provider = Some(|table| serve_over_tls(table, true, &["service.crt"]));
        }
        "SslToServiceNoAuth" => {
            s.tls_service = true;
            s.at_provider = Some(|table| serve_over_tls(table, false, &[]));
        }
        "SslToServiceWrongISCert" => {
            s.tls_service = true;
            s.at_provider = Some(|table| serve_over_tls(table, true, &["portal.crt"]));
        }

        "SigningFailsInClientProxy" => {
            s.at_consumer = Some(|table| {
                let mut keyless = client(table, PORTAL).clone();
                keyless.insert("id".into(), "DEV/GOV/1009/keyless".into());
                table["clients"].as_array_mut().unwrap().push(Value::Table(keyless));
            });
            s.rename = Some((
                ">1003</id:memberCode><id:subsystemCode>portal<",
                ">1009</id:memberCode><id:subsystemCode>keyless<",
            ));
        }
        "SigningFailsInServerProxy" => {
            s.when = When::Last;
            s.rename = Some((
                ">1001</id:memberCode><id:subsystemCode>population<",
                ">1002</id:memberCode><id:subsystemCode>tax<",
            ));
        }
        "ServerProxyMaintenanceMode" => s.when = When::Last,

        "SslToServiceNoISCerts" => {
            s.not_applicable = Some(
                "a service that verifies TLS without a certificate to verify is refused with the configuration",
            );
        }
        "SslClientCipherSuiteSetupError" => {
            s.not_applicable =
                Some("the suites are no setting here; X-Road's case takes any outcome");
        }
        "SslSelectFastestProxy" => {
            s.not_applicable = Some(
                "the choice among several servers is not the message's: stories in several_servers",
            );
        }
        _ => {}
    }
    s
}

fn require_certificate(table: &mut Table, files: &[&str]) {
    let portal = client(table, PORTAL);
    set(portal, "connection", "https-with-certificate");
    set(portal, "certificates", Value::Array(files.iter().map(|f| in_folder(f)).collect()));
}

/// Relative to a server's folder: its parent is the ecosystem's.
fn in_folder(file: &str) -> Value {
    Value::String(format!("../{file}"))
}

fn serve_over_tls(table: &mut Table, verify: bool, files: &[&str]) {
    for code in SERVICES {
        set(service(table, POPULATION, code), "verify_tls", verify);
    }
    let files = files.iter().map(|f| in_folder(f)).collect();
    set(client(table, POPULATION), "certificates", Value::Array(files));
}

/// What the service answers with.
#[derive(Default)]
struct Script(Mutex<Vec<u8>>);

/// The ecosystem in which the cases play.
pub(crate) struct Stage {
    ecosystem: Ecosystem,
    provider: Provider,
    tls_provider: Provider,
    script: Arc<Script>,
    switch: Option<Switch>,
    switch_at: SocketAddr,
    queries: PathBuf,
    cases: usize,
    right: Identity,
    wrong: Identity,
    expired: Identity,
}

type Identity = (Vec<u8>, Vec<u8>);

fn identity(valid: bool) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (from, to) = if valid { (2020, 2099) } else { (2010, 2011) };
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().der().to_vec(), key.serialize_der())
}

impl Stage {
    pub(crate) async fn start(queries: PathBuf) -> Self {
        let script = Arc::new(Script::default());
        let says = |script: &Arc<Script>| {
            let script = Arc::clone(script);
            move |_: &Seen| script.0.lock().unwrap().clone()
        };
        let provider = Provider::start(says(&script)).await;
        let service = identity(true);
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![service.0.clone().into()],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(service.1.clone())),
                )
                .unwrap();
        let tls_provider =
            Provider::start_tls(TlsAcceptor::from(Arc::new(tls)), says(&script)).await;
        let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let switch_at = free.local_addr().unwrap();
        drop(free);
        let url = provider.url("/service");
        let ecosystem = scene::start(move |name, table| match name {
            "ss1" => set(table, "peers.port", i64::from(switch_at.port())),
            _ => {
                let soap = format!("kind = \"soap\"\n{}", for_portal());
                for code in SERVICES {
                    add_service(table, POPULATION, code, &url, &soap);
                    add_service(table, TAX, code, &url, &soap);
                }
            }
        })
        .await;
        let (right, wrong, expired) = (identity(true), identity(true), identity(false));
        for (file, der) in
            [("portal.crt", &right.0), ("expired.crt", &expired.0), ("service.crt", &service.0)]
        {
            std::fs::write(ecosystem.folder().join(file), der).unwrap();
        }
        Self {
            ecosystem,
            provider,
            tls_provider,
            script,
            switch: None,
            switch_at,
            queries,
            cases: 0,
            right,
            wrong,
            expired,
        }
    }

    pub(crate) async fn stop(self) {
        self.ecosystem.stop().await;
    }

    /// A file of X-Road's, with the sandbox's parties and this case's message id.
    fn file(&self, name: &str) -> Vec<u8> {
        if name == "-" {
            return Vec::new();
        }
        let text = std::fs::read(self.queries.join(name)).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut text = text
            .replace("xRoadInstance>EE<", "xRoadInstance>DEV<")
            .replace("memberClass>BUSINESS<", "memberClass>GOV<");
        for subsystem in ["subsys1", "subsys2"] {
            text = text.replace(&format!("<id:subsystemCode>{subsystem}</id:subsystemCode>"), "");
        }
        for prefix in ["id:", ""] {
            for (member, code, subsystem) in
                [("consumer", "1003", "portal"), ("producer", "1001", "population")]
            {
                text = text.replace(
                    &format!("<{prefix}memberCode>{member}</{prefix}memberCode>"),
                    &format!(
                        "<{prefix}memberCode>{code}</{prefix}memberCode><{prefix}subsystemCode>{subsystem}</{prefix}subsystemCode>"
                    ),
                );
            }
        }
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("<xroad:id>") {
            let Some((_, behind)) = after.split_once("</xroad:id>") else { break };
            out.push_str(&format!("{before}<xroad:id>case-{}</xroad:id>", self.cases));
            rest = behind;
        }
        out.push_str(rest);
        out.into_bytes()
    }

    /// Plays a case; tells the outcome.
    pub(crate) async fn run(&mut self, row: &Row, setup: Setup) -> String {
        self.cases += 1;
        if setup.when > When::NobodyListens && self.switch.is_none() {
            let real = self.ecosystem.server("ss2").unwrap().addresses().peers;
            self.switch = Some(Switch::start(self.switch_at, real).await);
        }
        let mut request = match row.case.as_str() {
            "AttachmentBig" => self.big(),
            "AttachmentSmallMantis" => self.mantis(),
            _ => self.file(&row.request),
        };
        let mut answer = self.file(&row.answer);
        if let Some((from, to)) = setup.rename {
            let renamed = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).unwrap().replace(from, to).into_bytes()
            };
            (request, answer) = (renamed(&request), renamed(&answer));
        }
        if setup.bom {
            request.splice(0..0, [0xef, 0xbb, 0xbf]);
            answer.splice(0..0, [0xef, 0xbb, 0xbf]);
        }
        if setup.with_ocsp {
            request = self.behind_ocsp(&request);
        }
        let content_type = setup.content_type.unwrap_or(XML);
        let answer_type = setup.answer_type.unwrap_or(XML);
        *self.script.0.lock().unwrap() = match setup.raw_answer {
            Some(raw) => raw(self),
            None => response("200 OK", &format!("Content-Type: {answer_type}\r\n"), &answer),
        };
        self.place_fake(setup.fake.as_ref(), &answer);
        let kept = self.change(&setup);
        match row.case.as_str() {
            "ServerProxyMaintenanceMode" => {
                self.ecosystem.set_maintenance("ss2", true).unwrap();
            }
            "SigningFailsInServerProxy" => self.lose_key().await,
            _ => {}
        }

        let asked = self.provider.count() + self.tls_provider.count();
        let http = if setup.get {
            b"GET / HTTP/1.1\r\nHost: ss\r\n\r\n".to_vec()
        } else {
            post(content_type, setup.headers, &request)
        };
        let mut got = self.ask(&setup.caller, &http).await;
        let mut result = outcome(&got);
        // The registry publishes in its own time.
        for _ in 0..300 {
            if setup.when != When::Last || result == row.outcome {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            got = self.ask(&setup.caller, &http).await;
            result = outcome(&got);
        }
        if row.case == "ServerProxyMaintenanceMode" {
            self.ecosystem.set_maintenance("ss2", false).unwrap();
        }
        self.restore(kept);
        if self.provider.count() + self.tls_provider.count() > asked {
            let seen =
                if setup.tls_service { self.tls_provider.last() } else { self.provider.last() };
            if let Err(what) = passed_on(&seen, content_type, setup.headers, &request) {
                return format!("{result}, but the service got another request: {what}");
            }
        }
        if result == "ok"
            && let Err(what) = passed_back(&got, answer_type, &answer, content_type, &request)
        {
            return format!("ok, but {what}");
        }
        if row.case == "SoapFaultInMultipartResponse"
            && !got
                .text()
                .contains("<error>Unable to create payload, try increasing the size</error>")
        {
            return format!("{result}, but the service's fault did not come: {}", got.text());
        }
        result
    }

    async fn ask(&self, caller: &Caller, http: &[u8]) -> Answer {
        let at = self.ecosystem.server("ss1").unwrap().addresses();
        match caller {
            Caller::Plain => send(at.http, http).await,
            Caller::Tls(shown) => {
                let shown = match shown {
                    Shown::Right => &self.right,
                    Shown::Wrong => &self.wrong,
                    Shown::Expired => &self.expired,
                };
                crate::connections::ask_with(at.https, shown, http).await
            }
            Caller::Server => {
                let identity = authentication(&self.ecosystem.folder().join("ss1"));
                let real = self.ecosystem.server("ss2").unwrap().addresses().peers;
                let host = b"Host: ss\r\n";
                let at = http.windows(host.len()).position(|w| w == host).unwrap() + host.len();
                let mut http = http.to_vec();
                http.splice(at..at, *b"x-hash-algorithm: SHA-512\r\n");
                ask_as(&identity, real, &http).await
            }
        }
    }

    fn place_fake(&self, fake: Option<&Fake>, answer: &[u8]) {
        let Some(switch) = &self.switch else { return };
        let own = || authentication(&self.ecosystem.folder().join("ss2"));
        let head = |content_type: &str| {
            format!(
                "Content-Type: {content_type}\r\nx-hash-algorithm: SHA-512\r\nConnection: close\r\n"
            )
        };
        switch.set(match fake {
            None => Mode::Real,
            Some(Fake::Answers(content_type)) => {
                Mode::Answers(own(), response("200 OK", &head(content_type), answer))
            }
            Some(Fake::Raw(raw)) => Mode::Answers(own(), raw.as_bytes().to_vec()),
            Some(Fake::Aborts) => Mode::Aborts(own()),
            Some(Fake::Wrong) => {
                let other = authentication(&self.ecosystem.folder().join("ss1"));
                Mode::Answers(other, response("200 OK", &head(XML), answer))
            }
            Some(Fake::Stranger) => {
                Mode::Answers(stranger(), response("200 OK", &head(XML), answer))
            }
        });
    }

    /// Changes the configurations; gives those that were changed.
    fn change(&self, setup: &Setup) -> Vec<(&'static str, String)> {
        let mut kept = Vec::new();
        let tls_url = setup.tls_service.then(|| {
            self.tls_provider
                .url("/service")
                .replace("http:", "https:")
                .replace("127.0.0.1", "localhost")
        });
        for (name, change) in [("ss1", setup.at_consumer), ("ss2", setup.at_provider)] {
            let Some(change) = change else { continue };
            let server = self.ecosystem.server(name).unwrap();
            kept.push((name, std::fs::read_to_string(server.configuration()).unwrap()));
            server
                .edit(|table| {
                    if let Some(url) = &tls_url {
                        for code in SERVICES {
                            set(service(table, POPULATION, code), "url", url.as_str());
                        }
                    }
                    change(table);
                })
                .unwrap();
            server.reload().unwrap();
        }
        kept
    }

    fn restore(&self, kept: Vec<(&'static str, String)>) {
        for (name, text) in kept {
            let server = self.ecosystem.server(name).unwrap();
            std::fs::write(server.configuration(), text).unwrap();
            server.reload().unwrap();
        }
    }

    /// The tax authority's signing key is lost.
    async fn lose_key(&mut self) {
        let folder = self.ecosystem.folder().join("ss2");
        let server = self.ecosystem.server_mut("ss2").unwrap();
        server.stop().await;
        let token = causeway_keys::SoftwareToken::open(folder.join("data/token")).unwrap();
        let pin = std::fs::read_to_string(folder.join("pin")).unwrap();
        token.unlock(&causeway_keys::Pin::new(pin.trim()).unwrap()).unwrap();
        let of_tax = token
            .credentials(causeway_keys::Usage::Signing, time::OffsetDateTime::now_utc())
            .unwrap()
            .into_iter()
            .find(|c| c.member.as_ref().is_some_and(|m| m.code() == "1002"))
            .unwrap();
        let spki = of_tax.key.certificate_public_key();
        let info = token.keys().into_iter().find(|k| k.public_key == spki).unwrap();
        token.delete_key(&info.id).unwrap();
        drop(token);
        let server = self.ecosystem.server_mut("ss2").unwrap();
        server.start().await.unwrap();
    }

    /// A multipart between servers with the OCSP response of the sender's certificate in front, as there
    /// must be one here.
    fn behind_ocsp(&self, request: &[u8]) -> Vec<u8> {
        let folder = self.ecosystem.folder().join("ss1");
        let identity = authentication(&folder);
        let issuer = self.ecosystem.authorities().ca().issuer();
        let der = ocsp_response(&folder, &identity.chain[0], issuer);
        let line = request.split(|b| *b == b'\n').next().unwrap();
        let mut out = line.to_vec();
        out.extend_from_slice(b"\r\ncontent-type: application/ocsp-response\r\n\r\n");
        out.extend_from_slice(&der);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(request);
        out
    }

    /// A large attachment; the story of a larger one is in `stories`.
    fn big(&self) -> Vec<u8> {
        let mut out = b"--big\r\nContent-Type: text/xml; charset=UTF-8\r\n\r\n".to_vec();
        out.extend(self.file("getstate.query"));
        out.extend_from_slice(b"\r\n--big\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n");
        out.extend((0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
        out.extend_from_slice(b"\r\n--big--\r\n");
        out
    }

    /// The request is not among X-Road's data; this is one of its form.
    fn mantis(&self) -> Vec<u8> {
        let answer = String::from_utf8(self.file("attachment-small-mantis.answer")).unwrap();
        let boundary = "--:gkMa5KAvuHP7ahe9IQHONLgnncvv:";
        let envelope = answer.replace("testResponse", "test");
        format!(
            "{boundary}\r\nContent-Type: text/xml\r\n\r\n{envelope}\r\n{boundary}\r\n\
             Content-Type: application/octet-stream\r\nContent-ID: <a>\r\n\r\nsmall\r\n{boundary}--\r\n"
        )
        .into_bytes()
    }
}

/// Whether the service got what was sent.
fn passed_on(seen: &Seen, content_type: &str, headers: &str, request: &[u8]) -> Result<(), String> {
    let sent = Message::read(content_type, request).ok_or("unreadable")?;
    let got_type = seen.header("content-type").unwrap_or_default();
    let got = Message::read(got_type, &seen.body).ok_or("it cannot read it")?;
    in_our_dress(got_type, content_type)?;
    if got != sent {
        return Err(format!("{got:?} in place of {sent:?}"));
    }
    let action = headers.strip_prefix("SOAPAction: ").map(str::trim_end);
    if seen.header("soapaction") != action {
        return Err(format!("SOAPAction {:?}", seen.header("soapaction")));
    }
    Ok(())
}

/// Whether a multipart has a content type of its own: nothing of the other side's, which nobody signed.
fn in_our_dress(got: &str, sent: &str) -> Result<(), String> {
    let is_multipart = |text: &str| text.to_ascii_lowercase().starts_with("multipart/related");
    let foreign =
        is_multipart(sent) && (got == sent || got.contains("start=") || !is_multipart(got));
    if foreign { Err(format!("of content type {got}")) } else { Ok(()) }
}

/// Whether the client got what the service answered, with the request's hash.
fn passed_back(
    got: &Answer,
    answer_type: &str,
    answer: &[u8],
    content_type: &str,
    request: &[u8],
) -> Result<(), String> {
    let sent = Message::read(answer_type, answer).ok_or("the answer is unreadable")?;
    let got_type = got.header("content-type").unwrap_or_default();
    let read = Message::read(got_type, &got.body).ok_or("the client cannot read the answer")?;
    in_our_dress(got_type, answer_type)?;
    if read.attachments != sent.attachments || read.part != sent.part {
        return Err(format!("the parts differ: {read:?} in place of {sent:?}"));
    }
    let mut header = read.header().ok_or("the answer has no header")?;
    let request = Message::read(content_type, request).ok_or("unreadable")?;
    let hash = causeway_message::soap::request_hash(&request.envelope);
    if header.request_hash.take().map(|h| h.value) != Some(hash) {
        return Err("the request's hash is another".to_owned());
    }
    let mut theirs = sent.header().ok_or("the service's answer has no header")?;
    theirs.request_hash = None;
    if header != theirs {
        return Err(format!("the header differs: {header:?} in place of {theirs:?}"));
    }
    Ok(())
}

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::process;
use super::{Histogram, Plan};
use crate::SandboxError;
use crate::consumer::{ERROR, RequestBody};
use crate::systems::measure::pattern;
use crate::systems::{full, soap};

/// The pause of a connection after a failure, so that a dead target is not hammered.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of a SOAP answer is searched for a fault.
const FAULT_BYTES: usize = 1000;
/// How often the memory is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How long the counted part took.
    pub elapsed: Duration,
    /// The times of the exchanges that ended well in that part.
    pub latency: Histogram,
    /// The bytes of the bodies that were received.
    pub received: u64,
    /// How many exchanges failed in that part, by error code.
    pub errors: BTreeMap<String, u64>,
    /// The whole process's processor time in that part.
    pub cpu: Option<Duration>,
    /// The driver's share of it.
    pub driver_cpu: Option<Duration>,
    /// Memory at the end of that part; its peak is that of the part.
    pub memory: Option<process::Memory>,
}

/// Drives a load and measures it.
///
/// # Errors
/// When the driver's thread cannot be had. Failing exchanges are counted.
pub async fn drive(plan: Plan) -> Result<Outcome, SandboxError> {
    let failed = SandboxError::part::<String>;
    let run = move || -> Result<Outcome, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        Ok(runtime.block_on(LocalSet::new().run_until(run(plan))))
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("load-driver".to_owned())
        .spawn(move || {
            // An error means that nobody waits any more.
            let _ = tell.send(run());
        })
        .map_err(|e| failed("load driver")(e.to_string()))?;
    match told.await {
        Ok(outcome) => outcome.map_err(failed("load driver")),
        Err(gone) => Err(failed("load driver")(gone.to_string())),
    }
}

/// What the connections have counted so far.
#[derive(Default)]
struct Tally {
    latency: Histogram,
    received: u64,
    errors: BTreeMap<String, u64>,
}

async fn run(plan: Plan) -> Outcome {
    let plan = Rc::new(plan);
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = Vec::new();
    for _ in 0..plan.connections {
        tasks.push(tokio::task::spawn_local(connection(Rc::clone(&plan), Rc::clone(&tally))));
    }
    tokio::time::sleep(plan.warm_up).await;

    // From here on it counts. Exchanges under way count whole: some begin before and some end
    // after, and the two even out.
    tally.take();
    let (cpu, driver) = (process::cpu_time(), process::thread_cpu_time());
    let begun = Instant::now();
    let mut peak = 0;
    while begun.elapsed() < plan.duration {
        tokio::time::sleep(SAMPLE.min(plan.duration.saturating_sub(begun.elapsed()))).await;
        peak = peak.max(process::memory().map_or(0, |memory| memory.resident));
    }
    let elapsed = begun.elapsed();
    let Tally { latency, received, errors } = tally.take();
    let used = |now: Option<Duration>, before| Some(now?.saturating_sub(before?));
    let outcome = Outcome {
        elapsed,
        latency,
        received,
        errors,
        cpu: used(process::cpu_time(), cpu),
        driver_cpu: used(process::thread_cpu_time(), driver),
        memory: process::memory().map(|memory| process::Memory { peak, ..memory }),
    };
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    outcome
}

/// Sends one request after the other over one connection, and over a new one when it breaks.
async fn connection(plan: Rc<Plan>, tally: Rc<RefCell<Tally>>) {
    let mut open = None;
    loop {
        let begun = Instant::now();
        match exchange(&plan, &mut open).await {
            Ok(received) => {
                let mut tally = tally.borrow_mut();
                tally.latency.record(begun.elapsed());
                tally.received += received;
            }
            Err(code) => {
                *tally.borrow_mut().errors.entry(code).or_default() += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One exchange; gives the length of the answer's body, or the error's code.
async fn exchange(plan: &Plan, open: &mut Option<SendRequest<RequestBody>>) -> Result<u64, String> {
    let mut sender = match open.take() {
        Some(sender) if !sender.is_closed() => sender,
        _ => connect(&plan.target).await?,
    };
    sender.ready().await.map_err(|_| "connection_closed")?;
    let response = sender.send_request(request(plan)?).await.map_err(|e| broken(&e))?;
    let (head, mut body) = response.into_parts();
    let mut received = 0;
    let mut beginning = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| broken(&e))?;
        if let Some(data) = frame.data_ref() {
            received += data.len() as u64;
            if plan.soap.is_some() && beginning.len() < FAULT_BYTES {
                beginning.extend_from_slice(data);
            }
        }
    }
    *open = Some(sender);
    if let Some(code) = soap_code(&beginning) {
        return Err(code);
    }
    if head.status.is_success() { Ok(received) } else { Err(code(&head.headers, head.status)) }
}

/// The code of a SOAP fault, which comes with a status that says nothing.
fn soap_code(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (_, rest) = text.split_once("<faultcode>")?;
    rest.split_once('<').map(|(code, _)| code.to_owned())
}

fn code(headers: &HeaderMap, status: hyper::StatusCode) -> String {
    match headers.get(ERROR).and_then(|value| value.to_str().ok()) {
        Some(code) => code.to_owned(),
        None => format!("http_{}", status.as_u16()),
    }
}

fn broken(error: &hyper::Error) -> String {
    if error.is_timeout() { "timeout" } else { "connection_broken" }.to_owned()
}

async fn connect(target: &Uri) -> Result<SendRequest<RequestBody>, String> {
    let host = target.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = target.port_u16().unwrap_or(80);
    let stream =
        TcpStream::connect((host, port)).await.map_err(|e| format!("connect: {}", e.kind()))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    tokio::task::spawn_local(async move {
        // How it ends the sender learns too.
        let _ = connection.await;
    });
    Ok(sender)
}

fn request(plan: &Plan) -> Result<Request<RequestBody>, String> {
    let path = plan.target.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(plan.method.clone())
        .uri(path)
        .body(body(plan))
        .map_err(|e| e.to_string())?;
    let authority = plan.target.authority().map_or("", |authority| authority.as_str());
    let headers = request.headers_mut();
    headers.extend(plan.headers.clone());
    if let Some(soap) = &plan.soap {
        headers.insert(CONTENT_TYPE, soap::content_type(soap.attachment));
    }
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(|e| e.to_string())?);
    Ok(request)
}

/// A request's body; a SOAP message has an id of its own.
fn body(plan: &Plan) -> RequestBody {
    let Some(soap) = &plan.soap else { return pattern(plan.body) };
    let [client, service] = &soap.parties;
    let id = uuid::Uuid::new_v4().to_string();
    let filling = if soap.attachment { 0 } else { usize::try_from(plan.body).unwrap_or_default() };
    let envelope = soap::envelope(
        &client.each_ref().map(|p| &**p),
        &service.each_ref().map(|p| &**p),
        &id,
        filling,
    );
    if soap.attachment { soap::related(&envelope, plan.body) } else { full(envelope) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::systems::{InformationSystem, population};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_load_is_counted() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let system = InformationSystem::start(free, population::handle).await.unwrap();
        let mut plan = Plan::for_url(&format!("http://{free}/measure/100")).unwrap();
        plan.connections = 2;
        (plan.warm_up, plan.duration) = (Duration::ZERO, Duration::from_millis(200));
        let outcome = drive(plan.clone()).await.unwrap();
        let count = outcome.latency.count();
        assert!(count > 0 && outcome.received == count * 100 && outcome.errors.is_empty());

        plan.target = format!("http://{free}/nothing").parse().unwrap();
        let outcome = drive(plan.clone()).await.unwrap();
        assert!(outcome.latency.count() == 0 && outcome.errors["http_404"] > 0);

        system.set_available(false).await;
        let outcome = drive(plan.clone()).await.unwrap();
        assert!(outcome.errors["connect: connection refused"] > 0, "{:?}", outcome.errors);
        system.set_available(true).await;
        plan.target = format!("http://{free}/persons/099321000417").parse().unwrap();
        assert!(drive(plan).await.unwrap().errors.is_empty());
    }
}

//! The commands themselves.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use causeway_console::{complain, say};
use security_server::plain_lines::PlainLines;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Asked, Load, Task, show};
use crate::ecosystem::folder::log_file;
use crate::load::{Plan, Report, drive, process};
use crate::options::{Options, Step};
use crate::progress::Reporter;
use crate::{Ecosystem, SandboxError, evidence, story};

/// The largest body that message logs keep by default, in bytes. To measure larger ones, the logs
/// keep their digests alone; else they would be refused.
const LOGGED: u64 = 10 << 20;

/// Does what is asked; `false` when it was done and is not well.
pub(super) async fn run(asked: &Asked) -> Result<bool, SandboxError> {
    match &asked.task {
        Task::Story { once, evidence } => tell_story(asked, *once, evidence.as_deref()).await,
        Task::Load(load) => measure(asked, load).await,
    }
}

async fn tell_story(
    asked: &Asked,
    once: bool,
    evidence: Option<&Path>,
) -> Result<bool, SandboxError> {
    let language = asked.language;
    let reporter = Arc::new(Reporter::new(language));
    let mut stop = Stop::listen()?;
    let options = asked.options.clone();
    let Some(ecosystem) = start(asked, options, &reporter, "info", &mut stop).await? else {
        return Ok(false);
    };
    let told = tokio::select! {
        told = play(asked, &reporter, &ecosystem, evidence) => told.map(Some),
        () = stop.told() => Ok(None),
    };
    if let (false, Ok(Some(_))) = (once, &told) {
        show::next_steps(language, &ecosystem);
        stop.told().await;
        complain(format_args!("\n{}", language.stopping()));
    }
    ecosystem.stop().await;
    // One that stayed up did what it was asked for.
    told.map(|verified| verified.unwrap_or(false) || !once)
}

async fn play(
    asked: &Asked,
    reporter: &Reporter,
    ecosystem: &Ecosystem,
    evidence: Option<&Path>,
) -> Result<bool, SandboxError> {
    let language = asked.language;
    let begun = Instant::now();
    let (decision, exchanges) = story::decide(ecosystem).await;
    reporter.done(&language.story_played(exchanges.len()), begun.elapsed());
    let begun = Instant::now();
    let outcome = story::judge(ecosystem, decision, exchanges).await?;
    let containers = outcome.judged.iter().map(|judged| judged.evidence.len()).sum();
    reporter.done(&language.story_judged(containers), begun.elapsed());
    show::story(language, ecosystem, &outcome);
    if let Some(folder) = evidence {
        evidence::write(folder, ecosystem, &outcome.configuration, &outcome.judged, language)
            .await?;
        say(language.evidence_written(&folder.display().to_string()));
    }
    Ok(outcome.is_verified())
}

async fn measure(asked: &Asked, load: &Load) -> Result<bool, SandboxError> {
    let reporter = Arc::new(Reporter::new(asked.language));
    if let Some(url) = &load.target {
        let mut plan = Plan::for_url(url)?;
        fit(&mut plan, load);
        return report(asked, load, plan, None).await;
    }
    let mut stop = Stop::listen()?;
    let mut options = asked.options.clone();
    let body = load.body.unwrap_or_else(|| load.kind.usual_body());
    if body > LOGGED {
        options = options.adjust(|_, file| {
            let log = toml::Table::from_iter([("over_limit".to_owned(), "omit".into())]);
            file.insert("log".to_owned(), log.into());
        });
    }
    let Some(ecosystem) = start(asked, options, &reporter, "warn", &mut stop).await? else {
        return Ok(false);
    };
    let mut plan = Plan::for_ecosystem(&ecosystem, body, load.post, load.kind)?;
    fit(&mut plan, load);
    let key = Some(asked.options.key.to_string());
    let done = tokio::select! {
        done = report(asked, load, plan, key) => done,
        () = stop.told() => Ok(false),
    };
    ecosystem.stop().await;
    done
}

fn fit(plan: &mut Plan, load: &Load) {
    (plan.connections, plan.duration, plan.warm_up) =
        (load.connections, load.duration, load.warm_up);
}

/// Measures and prints; well when something was exchanged, and nothing failed.
async fn report(
    asked: &Asked,
    load: &Load,
    plan: Plan,
    key: Option<String>,
) -> Result<bool, SandboxError> {
    let seconds = load.duration.as_secs().to_string();
    complain(format_args!("… {}", asked.language.loading(&seconds, load.connections)));
    let outcome = drive(plan.clone()).await?;
    let report = Report::new(&plan, key, &outcome);
    if load.json {
        let text = serde_json::to_string_pretty(&report).map_err(SandboxError::part("JSON"))?;
        say(text);
    } else {
        show::load(asked.language, &report);
    }
    Ok(report.exchanges > 0 && report.failed() == 0)
}

/// Starts the ecosystem with its log; `None` when told to stop meanwhile.
async fn start(
    asked: &Asked,
    options: Options,
    reporter: &Arc<Reporter>,
    filter: &str,
    stop: &mut Stop,
) -> Result<Option<Ecosystem>, SandboxError> {
    let begun = Instant::now();
    let log = begin_logging(filter);
    let progress = {
        let (reporter, log) = (Arc::clone(reporter), log.clone());
        Arc::new(move |step: &Step, state| {
            if let Step::Folder(path, temporary) = step {
                log.open(path);
                if *temporary {
                    // Told once.
                    let _ = TEMPORARY.set(path.clone());
                }
            }
            reporter.step(step, state);
        })
    };
    let options = Options { progress: Some(progress), ..options };
    let ecosystem = tokio::select! {
        started = Ecosystem::start(options) => started.inspect_err(|_| log.show_problems())?,
        () = stop.told() => return Ok(None),
    };
    let memory = process::memory().map(|memory| asked.language.memory(memory.resident / 1_000_000));
    reporter.done(&asked.language.started(&memory.unwrap_or_default()), begun.elapsed());
    Ok(Some(ecosystem))
}

/// The temporary folder, once there is one.
static TEMPORARY: OnceLock<PathBuf> = OnceLock::new();

/// Removes what is left of the temporary folder, with the keys in it: when a start is broken off, its
/// parts may still write there while the folder goes.
pub(super) fn clean_up() {
    const TIMES: usize = 100;
    let Some(folder) = TEMPORARY.get() else { return };
    for _ in 0..TIMES {
        let _ = std::fs::remove_dir_all(folder);
        if !folder.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// SIGINT, SIGTERM and SIGHUP (the terminal is closed), heard from the beginning: one that comes between
/// two waits is not lost.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Stop {
    fn listen() -> Result<Self, SandboxError> {
        let listen = |kind| signal(kind).map_err(SandboxError::part("signals"));
        let interrupt = listen(SignalKind::interrupt())?;
        let hang_up = listen(SignalKind::hangup())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())?, hang_up })
    }

    /// Waits for a signal. Whoever sends another SIGINT then will not wait for a graceful end.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
        if let Ok(mut again) = signal(SignalKind::interrupt()) {
            tokio::spawn(async move {
                again.recv().await;
                clean_up();
                std::process::exit(130);
            });
        }
    }
}

/// The servers' own log: into a file of the data folder, which is not known at first, or onto
/// standard error when `RUST_LOG` asks for it.
fn begin_logging(filter: &str) -> Log {
    let log = Log::default();
    let wanted = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty());
    // That nobody reads the log is no reason to stop: telling so on standard error would panic.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    // A subscriber that is there already belongs to somebody who embeds us.
    let _ = match wanted {
        Some(wanted) => builder
            .with_env_filter(EnvFilter::new(wanted))
            .with_writer(|| PlainLines(io::stderr()))
            .try_init(),
        None => {
            let writer = log.clone();
            builder
                .with_env_filter(EnvFilter::new(filter))
                .with_ansi(false)
                .with_writer(move || PlainLines(writer.clone()))
                .try_init()
        }
    };
    log
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<OnceLock<File>>);

impl Log {
    /// Opens the file; without it, nothing is logged.
    fn open(&self, folder: &Path) {
        let file = File::options().create(true).read(true).append(true).open(log_file(folder));
        if let Ok(file) = file {
            // Opened once.
            let _ = self.0.set(file);
        }
    }

    /// Shows the last warnings and errors: a temporary folder is gone when its user would look.
    fn show_problems(&self) {
        const MOST: usize = 10;
        let Some(mut file) = self.0.get() else { return };
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
        let problem = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
        let problems: Vec<&str> = text.lines().filter(problem).collect();
        if read.is_ok() {
            problems.iter().skip(problems.len().saturating_sub(MOST)).for_each(complain);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.get() {
            Some(mut file) => file.write(line),
            None => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

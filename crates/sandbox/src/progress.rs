//! Progress on standard error: one line for each step, with what is done and how long it took.
//!
//! On a terminal the step under way is shown too, and the mark has a colour, unless `NO_COLOR` is
//! set; elsewhere there are plain lines alone.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use causeway_keys::KeyKind;

use crate::options::{Step, StepState};
use crate::texts::Language;

/// Shows progress.
#[derive(Debug)]
pub(crate) struct Reporter {
    language: Language,
    terminal: bool,
    colour: bool,
    under_way: Mutex<Vec<(Step, String)>>,
}

impl Reporter {
    pub(crate) fn new(language: Language) -> Self {
        let terminal = io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { language, terminal, colour, under_way: Mutex::default() }
    }

    /// Notes where a step of the start is.
    pub(crate) fn step(&self, step: &Step, state: StepState) {
        let text = self.language.step(step);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            StepState::Begun => {
                self.reached(step, 0);
                under_way.push((step.clone(), text));
            }
            StepState::Reached(done) => {
                if let Some(text) = self.reached(step, done)
                    && let Some((_, shown)) = under_way.iter_mut().find(|(other, _)| other == step)
                {
                    *shown = text;
                }
            }
            StepState::Done(time) => {
                under_way.retain(|(other, _)| other != step);
                self.line(&text, Some(time));
            }
        }
        if let (true, Some((_, text))) = (self.terminal, under_way.last()) {
            // Overwritten by the next line.
            let _ = write!(io::stderr(), "  … {text}\r");
            let _ = io::stderr().flush();
        }
    }

    /// Shows how far a step has come that takes its time; gives the text for a terminal. Elsewhere it is
    /// a line of its own, except of keys that are made in no time.
    fn reached(&self, step: &Step, done: usize) -> Option<String> {
        let Step::Keys(count, kind) = step else { return None };
        let text = self.language.making_keys(done, *count, &kind.to_string());
        if !self.terminal && *kind != KeyKind::EcP256 && done < *count {
            let _ = writeln!(io::stderr(), "… {text}");
        }
        Some(text)
    }

    /// Shows something that is done.
    pub(crate) fn done(&self, text: &str, time: Duration) {
        self.line(text, Some(time));
    }

    fn line(&self, text: &str, time: Option<Duration>) {
        const WIDTH: usize = 66;
        let mark = if self.colour { "\x1b[32m✓\x1b[0m" } else { "✓" };
        let time = time.filter(|time| !time.is_zero());
        let line = match time {
            None => format!("{mark} {text}"),
            Some(time) => {
                let width = text.chars().count();
                let dots = ".".repeat(WIDTH.saturating_sub(width).max(3));
                format!("{mark} {text} {dots} {}", self.language.seconds(time))
            }
        };
        // What the terminal still shows of a step under way is longer at times.
        let rest = if self.terminal { " ".repeat(8) } else { String::new() };
        // Progress that cannot be shown is no reason to stop.
        let _ = writeln!(io::stderr(), "{line}{rest}");
    }
}

//! How far a run is: a bar on a terminal, else a line now and then. On standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::milliseconds;
use crate::stats::Tally;

/// Shows how far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// When the last line was written, where there is no bar.
    line: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
            ProgressBar::no_length().with_style(style)
        });
        Self { bar, line: None }
    }

    /// Tells of clients that have connected.
    pub(crate) fn connecting(&mut self, ready: u32, clients: u32) {
        self.show("connecting", u64::from(ready), u64::from(clients), || {
            format!("{ready} of {clients} clients connected")
        });
    }

    /// Tells of the load, when so much of it has passed.
    pub(crate) fn running(&mut self, phase: &'static str, passed: Duration, whole: Duration, now: &Now<'_>) {
        let place = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let length = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        self.show(phase, place.min(length), length, || now.to_string());
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, phase: &'static str, place: u64, length: u64, text: impl FnOnce() -> String) {
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(phase);
                bar.set_length(length);
                bar.set_position(place);
                bar.set_message(text());
            }
            None if self.line.is_none_or(|line| line.elapsed() >= BETWEEN_LINES) => {
                self.line = Some(Instant::now());
                // Where this fails there is nobody who reads it.
                writeln!(std::io::stderr(), "{phase}: {}", text()).unwrap_or_default();
            }
            None => {}
        }
    }
}

/// What is shown while a load runs.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    pub(crate) tally: &'a Tally,
    /// Messages received a second, lately.
    pub(crate) rate: f64,
    pub(crate) failures: u64,
    pub(crate) clients: u32,
    pub(crate) has_messages: bool,
}

impl std::fmt::Display for Now<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.has_messages {
            write!(f, "{:.0} messages/s", self.rate)?;
            // There is none in the warm-up.
            if !self.tally.latency.is_empty() {
                let p99 = milliseconds(self.tally.latency.value_at_quantile(0.99));
                write!(f, ", p99 {p99:.2} ms")?;
            }
        } else {
            write!(f, "{} clients, {} heartbeats answered", self.clients, self.tally.heartbeats)?;
        }
        write!(f, ", {} errors", self.failures)
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(2);

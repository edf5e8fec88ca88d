//! The result of a run: for people, for programs, and as a table of percentiles.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// The servers.
    pub targets: Vec<String>,
    /// How the clients connected.
    pub transport: &'static str,
    /// What else was not as usual: another parser, TLS, ...
    pub variants: Vec<&'static str>,
    /// How many clients there should have been.
    pub clients: u32,
    /// How many got ready.
    pub connected: u32,
    /// How long that took, in seconds.
    pub connect_seconds: f64,
    /// What made the senders send.
    pub pace: Option<PaceReport>,
    /// The length of the string that a message carried, in bytes.
    pub payload: Option<usize>,
    /// How long the load was before it was measured, in seconds.
    pub warmup_seconds: f64,
    /// How long it was measured, in seconds.
    pub measured_seconds: f64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// Messages; none where only connections were measured.
    pub messages: Option<MessagesReport>,
    /// Pings of the server that were answered.
    pub heartbeats: u64,
    /// What the server used, if it was to be observed.
    pub server: Option<ServerReport>,
    /// What this program used.
    pub generator: GeneratorReport,
    /// What went wrong, and for how many clients.
    pub failures: BTreeMap<String, u64>,
    /// What makes the figures doubtful.
    pub warnings: Vec<String>,
}

/// What made the senders send.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "loop", rename_all = "lowercase")]
pub enum PaceReport {
    /// What came back.
    Closed {
        /// How many clients sent.
        senders: u32,
        /// How many messages of each were under way.
        window: u32,
    },
    /// The clock.
    Open {
        /// How many clients sent.
        senders: u32,
        /// Messages a second, of all of them.
        rate: f64,
    },
}

/// Messages of a run.
#[derive(Debug, Clone, Serialize)]
pub struct MessagesReport {
    /// Sent, in warm-up and after it.
    pub sent: u64,
    /// To be received for those.
    pub expected: u64,
    /// Received of those.
    pub received: u64,
    /// Not received.
    pub lost: u64,
    /// That should have been sent by the rate, and could not be: the server did not take them.
    pub unsent: u64,
    /// Of other runs, or without a stamp.
    pub foreign: u64,
    /// Sent a second, while measuring.
    pub sent_per_second: f64,
    /// Received a second, while measuring.
    pub received_per_second: f64,
    /// From when a message should have been sent until it came back.
    pub latency: Latencies,
    /// From when a message should have been sent until it was.
    pub late: Latencies,
}

/// Some percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latencies {
    /// Half of the messages took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1000 took no longer.
    pub p999: f64,
    /// No message took longer.
    pub max: f64,
}

/// What the server used while measuring.
#[derive(Debug, Clone, Serialize)]
pub struct ServerReport {
    /// The processes.
    pub pids: Vec<u32>,
    /// How many cores were busy.
    pub cores: f64,
    /// CPU time for each message received, in microseconds.
    pub cpu_us_per_message: Option<f64>,
    /// CPU time while the clients connected and joined, for each of them, in microseconds.
    pub cpu_us_per_connect: Option<f64>,
    /// Resident memory before anybody connected, in bytes.
    pub resident_before: u64,
    /// Resident memory with all connected, before messages were sent; at the end where none were.
    pub resident_connected: u64,
    /// What it grew by, for each connection, in bytes.
    pub bytes_per_connection: Option<f64>,
}

/// What this program used while measuring.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct GeneratorReport {
    /// The threads that clients were on.
    pub threads: u32,
    /// How much of what these can do was used, from 0 to 1; none where the system does not tell.
    pub busy: Option<f64>,
}

impl Latencies {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        let max = milliseconds(histogram.max());
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }
}

impl Report {
    /// Whether nothing was lost and nothing failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let lost = self.messages.as_ref().is_some_and(|messages| messages.lost + messages.unsent > 0);
        // Of a run that was ended early, some clients may never have been asked to connect.
        let missing = self.connected < self.clients && !self.interrupted;
        self.failures.is_empty() && !lost && !missing
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text and numbers always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The report for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        line(&mut text, format_args!("\n{}: {}", self.scenario, self.what()));
        line(&mut text, format_args!("{}\n", self.when()));
        if self.messages.is_none() || self.connected < self.clients {
            row(&mut text, "clients", &format!("{} of {} connected", self.connected, self.clients));
        }
        if let Some(messages) = &self.messages {
            if self.measured_seconds > 0.0 {
                messages.describe(&mut text, self.pace);
            }
        } else {
            row(&mut text, "heartbeats", &format!("{} answered", self.heartbeats));
        }
        if let Some(server) = &self.server {
            row(&mut text, "server", &server.to_string());
        }
        if let Some(busy) = self.generator.busy {
            let threads = self.generator.threads;
            let unit = if threads == 1 { "thread" } else { "threads" };
            row(&mut text, "generator", &format!("{:.0} % of {threads} {unit} busy", busy * 100.0));
        }
        for (failure, count) in &self.failures {
            row(&mut text, "failed", &format!("{count} x {failure}"));
        }
        for warning in &self.warnings {
            line(&mut text, format_args!("\nwarning: {warning}"));
        }
        text
    }

    fn what(&self) -> String {
        let mut text = format!("{} clients on {} by {}", self.clients, self.targets.join(", "), self.transport);
        if !self.variants.is_empty() {
            text.push_str(&format!(" ({})", self.variants.join(", ")));
        }
        match self.pace {
            Some(PaceReport::Closed { senders, window }) => {
                text.push_str(&format!("; closed loop, {senders} senders with {window} under way"));
            }
            Some(PaceReport::Open { senders, rate }) => {
                text.push_str(&format!("; open loop, {rate} messages/s by {senders} senders"));
            }
            None => {}
        }
        if let Some(payload) = self.payload {
            text.push_str(&format!(", {payload} bytes"));
        }
        text
    }

    fn when(&self) -> String {
        if self.measured_seconds == 0.0 {
            return "nothing was measured".to_owned();
        }
        let early = if self.interrupted { " (ended early)" } else { "" };
        let (connect, warmup, measured) = (self.connect_seconds, self.warmup_seconds, self.measured_seconds);
        format!("connected in {connect:.1} s, {warmup:.1} s of warm-up, measured for {measured:.1} s{early}")
    }
}

impl MessagesReport {
    fn describe(&self, text: &mut String, pace: Option<PaceReport>) {
        let mut counts = format!("{} sent, {} received, {} lost", self.sent, self.received, self.lost);
        if self.unsent > 0 {
            counts.push_str(&format!(", {} could not be sent", self.unsent));
        }
        row(text, "messages", &counts);
        let (received, sent) = (self.received_per_second, self.sent_per_second);
        row(text, "rate", &format!("{received:.0} received a second, {sent:.0} sent"));
        row(text, "latency", &self.latency.to_string());
        if matches!(pace, Some(PaceReport::Open { .. })) {
            row(text, "sent late", &self.late.to_string());
        }
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.3} ms   p90 {p90:.3} ms   p99 {p99:.3} ms   p99.9 {p999:.3} ms   max {max:.3} ms")
    }
}

impl std::fmt::Display for ServerReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} % of a core", self.cores * 100.0)?;
        if let Some(cost) = self.cpu_us_per_message {
            write!(f, ", {cost:.2} us of CPU a message")?;
        }
        write!(f, "; {:.1} MiB", self.resident_connected as f64 / MEBIBYTE)?;
        if let Some(bytes) = self.bytes_per_connection {
            write!(f, ", {:.1} KiB a connection", bytes / 1024.0)?;
        }
        Ok(())
    }
}

/// Writes a distribution as a table: value in milliseconds, share of the values up to it, and how many these are.
pub(crate) fn write_percentiles(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>14} {:>14} {:>12} {:>16}", "milliseconds", "percentile", "count", "1/(1-percentile)")?;
    let mut seen = 0;
    for value in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += value.count_since_last_iteration();
        let quantile = value.quantile_iterated_to();
        let latency = milliseconds(value.value_iterated_to());
        let inverse = if quantile < 1.0 { format!("{:.2}", 1.0 / (1.0 - quantile)) } else { "inf".to_owned() };
        writeln!(out, "{latency:>14.6} {quantile:>14.9} {seen:>12} {inverse:>16}")?;
    }
    writeln!(
        out,
        "# mean {:.6} ms, max {:.6} ms, {} values",
        histogram.mean() / 1e6,
        milliseconds(histogram.max()),
        seen
    )
}

/// Nanoseconds as milliseconds.
pub(crate) fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn row(text: &mut String, label: &str, value: &str) {
    line(text, format_args!("{label:<11} {value}"));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{content}").unwrap_or_default();
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// How many lines a table has for each halving of what is left.
const TICKS_PER_HALF: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_percentiles_rises_to_the_maximum() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value in 1..=1_000 {
            histogram.record(value * 1_000_000).unwrap();
        }
        let mut table = Vec::new();
        write_percentiles(&histogram, &mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        let rows: Vec<Vec<f64>> = table
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|field| field.parse().unwrap()).collect())
            .collect();
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]), "{table}");
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 1000.0));
        assert!((last[0] - 1000.0).abs() < 1.0, "{table}");
    }
}

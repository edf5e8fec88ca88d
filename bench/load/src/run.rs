//! One run, from connecting to the report.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_protocol::socket::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client;
use crate::error::Error;
use crate::limits;
use crate::options::Bench;
use crate::pace::{self, Pace};
use crate::plan::Plan;
use crate::process::{self, Moment, Used};
use crate::progress::{Now, Progress};
use crate::report::{GeneratorReport, Latencies, MessagesReport, PaceReport, Report, ServerReport, write_percentiles};
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::Tally;
use crate::target::{Resolved, Target};
use crate::tls;

/// Runs a scenario to its end, or until Ctrl-C, with progress on standard error.
///
/// # Errors
///
/// When there can be no result. Messages that were lost and clients that failed are part of one.
pub fn run(bench: &Bench) -> Result<Report, Error> {
    let plan = Arc::new(Plan::new(bench)?);
    limits::raise_open_files(plan.clients, plan.files_per_client())?;
    let threads = bench.connection().threads as usize;
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().map_err(Error::Start)?;
    let report = runtime.block_on(async { Run::new(bench, plan).await?.measure().await });
    runtime.shutdown_timeout(Duration::from_millis(100));
    report
}

struct Run<'a> {
    bench: &'a Bench,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    targets: Vec<Arc<Resolved>>,
    clients: JoinSet<()>,
    progress: Progress,
    interrupt: Pin<Box<dyn Future<Output = io::Result<()>>>>,
    interrupted: bool,
}

impl<'a> Run<'a> {
    async fn new(bench: &'a Bench, plan: Arc<Plan>) -> Result<Self, Error> {
        let connection = bench.connection();
        let needs_tls = connection.targets.iter().any(Target::is_encrypted);
        let connector = needs_tls.then(|| tls::connector(connection.insecure)).transpose()?;
        let mut targets = Vec::new();
        for target in &connection.targets {
            let resolved = target.resolve(connector.as_ref()).await;
            targets.push(Arc::new(resolved.map_err(|source| Error::Host { url: target.to_string(), source })?));
        }
        Ok(Self {
            bench,
            shared: Arc::new(Shared::new(plan.clients, connection.threads)),
            plan,
            targets,
            clients: JoinSet::new(),
            progress: Progress::new(),
            interrupt: Box::pin(tokio::signal::ctrl_c()),
            interrupted: false,
        })
    }

    async fn measure(mut self) -> Result<Report, Error> {
        let before = self.moment()?;
        self.connect_all().await;
        let connect_seconds = before.at.elapsed().as_secs_f64();
        let connected = self.shared.stats.ready();
        let connecting = Used::between(&before, &self.moment()?);
        let mut all_connected = self.moment()?;
        let (mut from, mut to) = (None, None);
        if connected == self.plan.clients && self.failures() == 0 && !self.interrupted {
            let pacer = self.start()?;
            from = self.until_measured().await?;
            self.until_end().await;
            to = Some(self.moment()?);
            if self.plan.traffic.is_none() {
                all_connected = self.moment()?;
            }
            self.drain().await;
            if let Some(pacer) = pacer {
                // It has ended with the window.
                pacer.join().unwrap_or_default();
            }
        }
        self.progress.finish();
        // Before they are told to leave: what goes wrong then is not of interest.
        let failures = self.shared.stats.failures();
        self.close().await;

        let total = self.shared.stats.total();
        self.write_histogram(&total)?;
        let used = from.zip(to).map(|(from, to)| Used::between(&from, &to));
        let used = used.unwrap_or_default();
        let messages = self.plan.traffic.is_some().then(|| self.messages(&total, connected));
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION"),
            scenario: self.plan.name,
            targets: self.targets.iter().map(|target| target.url.clone()).collect(),
            transport: self.plan.transport.name(),
            variants: self.variants(),
            clients: self.plan.clients,
            connected,
            connect_seconds,
            pace: self.pace(),
            payload: self.plan.traffic.as_ref().map(|traffic| traffic.payload),
            warmup_seconds: self.plan.warmup.as_secs_f64(),
            measured_seconds: self.measured().as_secs_f64(),
            interrupted: self.interrupted,
            messages,
            heartbeats: total.heartbeats,
            server: self.server((&before, &all_connected), (&connecting, &used), &total, connected),
            generator: self.generator(&used),
            failures,
            warnings: Vec::new(),
        };
        report.warnings = self.warnings(&report);
        Ok(report)
    }

    /// Connects client by client, so many at a time, until all are ready or something goes wrong.
    async fn connect_all(&mut self) {
        let connection = self.bench.connection();
        let permits = Arc::new(Semaphore::new(connection.connecting as usize));
        for number in 0..self.plan.clients {
            let permit = tokio::select! {
                permit = permits.clone().acquire_owned() => permit,
                _ = &mut self.interrupt => {
                    self.interrupted = true;
                    return;
                }
            };
            if self.failures() > 0 {
                return;
            }
            let target = self.targets[number as usize % self.targets.len()].clone();
            let session = Session::new(number, self.plan.clone(), self.shared.clone());
            self.clients.spawn(client::run(session, self.plan.clone(), target, connection.connect_timeout, permit));
            if number % CLIENTS_BETWEEN_PROGRESS == 0 {
                self.progress.connecting(self.shared.stats.ready(), self.plan.clients);
            }
        }
        while self.shared.stats.ready() < self.plan.clients && self.failures() == 0 {
            tokio::select! {
                () = self.shared.stats.changed.notified() => {}
                () = tokio::time::sleep(BETWEEN_LOOKS) => {}
                _ = &mut self.interrupt => {
                    self.interrupted = true;
                    return;
                }
            }
            self.progress.connecting(self.shared.stats.ready(), self.plan.clients);
        }
    }

    /// Lets the clients send; gives the thread that keeps the pace, where there is one.
    fn start(&self) -> Result<Option<std::thread::JoinHandle<()>>, Error> {
        self.shared.start(self.plan.warmup, self.bench.connection().duration);
        let Some(Pace::Open(schedule)) = self.plan.traffic.as_ref().map(|traffic| traffic.pace) else {
            return Ok(None);
        };
        let shared = self.shared.clone();
        let pacer = std::thread::Builder::new().name("pace".to_owned());
        pacer.spawn(move || pace::wake_in_time(&shared, schedule)).map(Some).map_err(Error::Start)
    }

    /// Waits for the end of the warm-up; what was used until then.
    async fn until_measured(&mut self) -> Result<Option<Moment>, Error> {
        let warmup = self.plan.warmup;
        self.wait("warm-up", warmup, |shared, window| shared.now() < window.measure).await;
        if self.interrupted { Ok(None) } else { self.moment().map(Some) }
    }

    async fn until_end(&mut self) {
        let duration = self.bench.connection().duration;
        self.wait("measuring", duration, |_, _| true).await;
    }

    /// Waits, at most to the end of the load, and shows how it goes.
    async fn wait(
        &mut self,
        phase: &'static str,
        whole: Duration,
        is_going: impl Fn(&Shared, &crate::shared::Window) -> bool,
    ) {
        let begun = Instant::now();
        let mut last = (begun, self.shared.stats.total().received);
        while let Some(window) = self.shared.window() {
            let now = self.shared.now();
            if now >= window.end || !is_going(&self.shared, &window) {
                return;
            }
            let left = if now < window.measure { window.measure - now } else { window.end - now };
            tokio::select! {
                () = tokio::time::sleep(BETWEEN_LOOKS.min(Duration::from_nanos(left))) => {}
                _ = &mut self.interrupt, if !self.interrupted => {
                    self.interrupted = true;
                    self.shared.end_now();
                }
            }
            if self.failures() >= u64::from(self.plan.clients) {
                self.shared.end_now();
            }
            let tally = self.shared.stats.total();
            let since = last.0.elapsed();
            let rate = (tally.received - last.1) as f64 / since.as_secs_f64().max(0.001);
            let has_messages = self.plan.traffic.is_some();
            let failures = self.failures();
            let now = Now { tally: &tally, rate, failures, clients: self.plan.clients, has_messages };
            self.progress.running(phase, begun.elapsed(), whole, &now);
            last = (Instant::now(), tally.received);
        }
    }

    /// Waits for what is still to come back.
    async fn drain(&mut self) {
        let deadline = Instant::now() + LONGEST_DRAIN;
        while self.plan.traffic.is_some() && Instant::now() < deadline {
            let total = self.shared.stats.total();
            let all_failed = self.failures() >= u64::from(self.plan.clients);
            if all_failed || (total.received >= total.expected && self.unsent(&total) == 0) {
                return;
            }
            tokio::time::sleep(BETWEEN_LOOKS / 5).await;
        }
    }

    async fn close(&mut self) {
        self.shared.close();
        let leaving = async { while self.clients.join_next().await.is_some() {} };
        // Whoever takes longer is cut off.
        tokio::time::timeout(LONGEST_CLOSE, leaving).await.unwrap_or_default();
    }

    fn moment(&self) -> Result<Moment, Error> {
        let server = process::usage_of_all(&self.bench.connection().pids);
        // A server that has gone away meanwhile is told by the clients.
        let server = if self.shared.stats.ready() == 0 { server? } else { server.unwrap_or_default() };
        Ok(Moment::now(server))
    }

    fn failures(&self) -> u64 {
        self.shared.stats.failures().values().sum()
    }

    fn measured(&self) -> Duration {
        self.shared
            .window()
            .map_or(Duration::ZERO, |window| Duration::from_nanos(window.end.saturating_sub(window.measure)))
    }

    /// How many messages should have been sent by the rate and were not.
    fn unsent(&self, total: &Tally) -> u64 {
        match (self.plan.traffic.as_ref().map(|traffic| traffic.pace), self.shared.window()) {
            (Some(Pace::Open(schedule)), Some(window)) => {
                schedule.count_before(window.end.saturating_sub(window.start)).saturating_sub(total.sent)
            }
            _ => 0,
        }
    }

    /// What is not as usual.
    fn variants(&self) -> Vec<&'static str> {
        let connection = self.bench.connection();
        let variants = [
            (self.plan.parser == Parser::MsgPack, "MessagePack"),
            (self.bench.messages().is_some_and(|messages| messages.binary), "binary"),
            (connection.deflate, "permessage-deflate"),
            (connection.targets.iter().any(Target::is_encrypted), "TLS"),
        ];
        variants.into_iter().filter_map(|(chosen, name)| chosen.then_some(name)).collect()
    }

    fn pace(&self) -> Option<PaceReport> {
        let traffic = self.plan.traffic.as_ref()?;
        let senders = traffic.senders;
        Some(match traffic.pace {
            Pace::Closed { window } => PaceReport::Closed { senders, window },
            Pace::Open(schedule) => PaceReport::Open { senders, rate: schedule.rate() },
        })
    }

    fn messages(&self, total: &Tally, connected: u32) -> MessagesReport {
        let seconds = self.measured().as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        MessagesReport {
            sent: total.sent,
            expected: total.expected,
            received: total.received,
            lost: total.expected.saturating_sub(total.received),
            unsent: if connected == self.plan.clients { self.unsent(total) } else { 0 },
            foreign: total.foreign,
            sent_per_second: rate(total.measured_sent),
            received_per_second: rate(total.measured_received),
            latency: Latencies::of(&total.latency),
            late: Latencies::of(&total.late),
        }
    }

    fn server(
        &self,
        (before, all): (&Moment, &Moment),
        (connecting, used): (&Used, &Used),
        total: &Tally,
        connected: u32,
    ) -> Option<ServerReport> {
        let pids = self.bench.connection().pids.clone();
        if pids.is_empty() {
            return None;
        }
        let grown = all.server.resident.saturating_sub(before.server.resident) as f64;
        let per_message = used.server.as_secs_f64() * 1e6 / total.measured_received as f64;
        Some(ServerReport {
            pids,
            cores: used.cores(used.server),
            cpu_us_per_message: (total.measured_received > 0).then_some(per_message),
            resident_before: before.server.resident,
            resident_connected: all.server.resident,
            cpu_us_per_connect: (connected > 0).then(|| connecting.server.as_secs_f64() * 1e6 / f64::from(connected)),
            bytes_per_connection: (connected > 0).then(|| grown / f64::from(connected)),
        })
    }

    fn generator(&self, used: &Used) -> GeneratorReport {
        let threads = self.bench.connection().threads;
        let cores = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
        let most = f64::from(threads).min(cores as f64);
        GeneratorReport { threads, busy: used.generator.map(|cpu| used.cores(cpu) / most) }
    }

    fn warnings(&self, report: &Report) -> Vec<String> {
        let mut warnings = Vec::new();
        if report.generator.busy.is_some_and(|busy| busy > SATURATED) {
            warnings.push(
                "the load generator itself was saturated, so these figures measure it and not the server: give it more \
                 --threads, cores of its own, or less to do"
                    .to_owned(),
            );
        }
        if let (Some(messages), Some(traffic)) = (&report.messages, &self.plan.traffic) {
            let (event, answer) = (&traffic.event, &traffic.answer);
            if messages.sent > 0 && messages.received == 0 {
                warnings.push(format!(
                    "nothing came back: does the server answer the event {event} as the scenario {} wants it ({answer})?",
                    report.scenario
                ));
            }
            if messages.foreign > 0 {
                let foreign = messages.foreign;
                warnings
                    .push(format!("{foreign} events {answer} were not of this run; somebody else loads the server"));
            }
        }
        warnings
    }

    fn write_histogram(&self, total: &Tally) -> Result<(), Error> {
        let Some(path) = self.bench.messages().and_then(|messages| messages.histogram.as_ref()) else { return Ok(()) };
        let mut table = Vec::new();
        write_percentiles(&total.latency, &mut table)
            .and_then(|()| std::fs::write(path, table))
            .map_err(|source| Error::Write { path: path.clone(), source })
    }
}

/// How often a run is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
const CLIENTS_BETWEEN_PROGRESS: u32 = 50;
/// How long to wait for messages after the last was sent.
const LONGEST_DRAIN: Duration = Duration::from_secs(5);
/// How long clients may take to leave.
const LONGEST_CLOSE: Duration = Duration::from_secs(2);
/// The share of its threads' time from which on the generator may be what is measured.
const SATURATED: f64 = 0.8;

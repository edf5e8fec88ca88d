//! The connection to NATS. The library makes it again when it is lost, and tells of that with events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, ConnectError, Event, RequestErrorKind, ServerError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::link::Link;
use crate::options::ANNOUNCEMENTS;
use crate::role::Role;

async fn connect(link: &Arc<Link>) -> Result<Client, String> {
    let (options, events) = (&link.options, Arc::downgrade(link));
    let (min, max) = (options.min_backoff, options.max_backoff);
    // It has been read once.
    let connect = link.server.log_in(&options.login).map_err(|error| error.to_string())?;
    let connect = connect
        .name(format!("sockeye {}", link.node))
        .no_echo()
        .skip_subject_validation(true)
        .custom_inbox_prefix(format!("{}.inbox", options.prefix))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .tls_client_config(link.server.tls.clone())
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        // The third that is not answered ends the connection.
        .ping_interval(options.probe_interval)
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempts| back_off(attempts, min, max))
        .event_callback(move |event| {
            events.upgrade().into_iter().for_each(|link| link.handle_event(&event));
            std::future::ready(())
        });
    connect.connect(&link.server.addresses[..]).await.map_err(|error| explain(&error))
}
/// With its cause, which the library leaves out.
fn explain(error: &ConnectError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let text = error.to_string();
    if cause.is_empty() || text.contains(&cause) { text } else { format!("{text}: {cause}") }
}

/// How long to wait before this attempt. Not all nodes that lost a server come back at the same moment.
fn back_off(attempts: usize, min: Duration, max: Duration) -> Duration {
    let Some(doublings) = attempts.checked_sub(2) else { return Duration::ZERO };
    let factor = 1 << doublings.min(16);
    (min * factor).min(max).mul_f64(rand::random_range(0.5..=1.0))
}

/// Makes the first connection, however long that takes. Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    for attempts in 2.. {
        match connect(&link).await {
            Ok(client) => {
                link.client.send_replace(Some(client));
                link.health.notify();
                break;
            }
            Err(reason) => link.note_lost(reason),
        }
        sleep(back_off(attempts, link.options.min_backoff, link.options.max_backoff)).await;
    }
    std::future::pending::<()>().await;
}

/// Asks for signs of life: at once on each new connection, and then from time to time. Runs for as long as the adapter.
pub(crate) async fn probe(link: Arc<Link>) {
    loop {
        let client = link.connected().await;
        link.probe(&client).await;
        let next = Instant::now() + link.options.probe_interval;
        let is_lost = || !link.health.is_working(Role::Connecting);
        // Until it is time, or the connection is lost before.
        let _due = timeout_at(next, link.health.wait_until(is_lost)).await;
        if is_lost() {
            sleep(link.options.min_backoff).await;
        }
    }
}

impl Link {
    /// Whether the server answers, on this connection, behind what was published before: nobody listens to the subject, and it says so.
    pub(crate) async fn probe(&self, client: &Client) -> bool {
        let start = Instant::now();
        let request = client.request(format!("{}.probe", self.options.prefix), bytes::Bytes::new());
        let failure = match timeout(self.options.timeout, request).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => None,
            Ok(Err(error)) if error.kind() != RequestErrorKind::TimedOut => Some(error.to_string()),
            _ => Some(format!("the server has not answered a probe within {:?}", self.options.timeout)),
        };
        let is_answered = failure.is_none();
        self.health.set_working(Role::Connecting, is_answered);
        match failure {
            None => {
                self.health.note_round_trip(start.elapsed());
                self.note_restored();
            }
            Some(failure) => {
                self.metrics.deaf.increment();
                tracing::warn!(failure, "no answer of NATS");
                self.health.begin_outage();
                self.health.note_failure(Role::Connecting, failure);
            }
        }
        is_answered
    }

    fn handle_event(&self, event: &Event) {
        match event {
            Event::Connected => {
                *self.refusal.lock() = None;
                let is_again = |client: &Client| client.statistics().connects.load(Ordering::Relaxed) > 1;
                if self.client.borrow().as_ref().is_some_and(is_again) {
                    self.metrics.reconnects.increment();
                    tracing::warn!("connected to NATS again; what other nodes sent meanwhile did not come");
                }
                self.health.notify();
            }
            Event::Disconnected => self.note_lost("the connection was lost".to_owned()),
            Event::SlowConsumer(_) => self.note_dropped_incoming(),
            Event::LameDuckMode => {
                tracing::info!("the server of NATS is about to stop; another one will be looked for");
            }
            Event::ServerError(ServerError::Other(text)) => self.handle_refusal(text),
            Event::ServerError(error) => self.handle_refusal(&error.to_string()),
            // While it is tried to connect again.
            Event::ClientError(error) => {
                tracing::debug!(%error, "no connection to NATS");
                self.health.note_failure(Role::Connecting, error.to_string());
            }
            Event::Draining | Event::Closed => {}
        }
    }

    fn handle_refusal(&self, text: &str) {
        if text.contains(ANNOUNCEMENTS) {
            return tracing::debug!(error = text, "nodes with other settings will not be told of");
        }
        self.metrics.refused.increment();
        tracing::warn!(error = text, "the server of NATS refuses something");
        if text.to_ascii_lowercase().contains("permissions violation for subscription") {
            *self.refusal.lock() = Some(text.to_owned());
        }
    }
}

/// How many messages the library keeps for one subscription that are not yet in [`Link::incoming`]. The task that takes them there does
/// nothing else. It has its turn between two of the library's, in each of which that reads some megabytes at most.
const SUBSCRIPTION_CAPACITY: usize = 128 * 1024;

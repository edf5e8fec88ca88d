//! Lets few lines of each place in the code through in a second, and counts the others: clients must not fill the log, and some
//! lines, those of libraries above all, they can bring about as often as they like.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use sockeye::Counter;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The filter. What is less than `info` passes: somebody asked for all of it.
#[derive(Debug)]
pub(super) struct Repeats {
    /// Lines of a place that pass in a second; 0 for all.
    max: u32,
    start: Instant,
    gates: Mutex<HashMap<Place, Gate>>,
}

/// A place in the code. Lines of the crate `log` all come from a few call sites of `tracing`, and are told apart by this hash.
type Place = (Identifier, u64);

/// The lines of one place.
#[derive(Debug, Default)]
struct Gate {
    second: u64,
    passed: u32,
    suppressed: u64,
}

impl Repeats {
    pub(super) fn new(max: u32) -> Self {
        Self { max, start: Instant::now(), gates: Mutex::default() }
    }

    /// Whether a line of this place may pass, and if so how many were suppressed before it.
    fn admit(&self, place: Place, second: u64) -> Option<u64> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= MAX_PLACES && !gates.contains_key(&place) {
            gates.clear();
        }
        gates.entry(place).or_default().admit(second, self.max)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let passes = if self.max == 0 || *metadata.level() > Level::INFO || limits_itself(metadata) {
            Some(0)
        } else {
            self.admit((metadata.callsite(), origin(event)), self.start.elapsed().as_secs())
        };
        SUPPRESSED_BEFORE.set(passes.unwrap_or(0));
        if passes.is_none() {
            SUPPRESSED.increment();
        }
        passes.is_some()
    }
}

impl Gate {
    fn admit(&mut self, second: u64, max: u32) -> Option<u64> {
        if self.second != second {
            (self.second, self.passed) = (second, 0);
        }
        if self.passed >= max {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// How many lines were suppressed before the one that this thread is writing.
pub(super) fn suppressed_before() -> u64 {
    SUPPRESSED_BEFORE.get()
}

/// Lines that were suppressed.
pub(super) fn suppressed() -> &'static Counter {
    &SUPPRESSED
}

/// Whether the place counts its repeats itself, as those of bounds do, each bound for itself.
fn limits_itself(metadata: &Metadata<'_>) -> bool {
    metadata.fields().field("suppressed").is_some()
}

/// Which line of the crate `log` it is; 0 for those of `tracing`.
fn origin(event: &Event<'_>) -> u64 {
    struct Origin(DefaultHasher);
    impl Visit for Origin {
        fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}

        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == "log.target" {
                value.hash(&mut self.0);
            }
        }

        fn record_u64(&mut self, field: &Field, value: u64) {
            if field.name() == "log.line" {
                value.hash(&mut self.0);
            }
        }
    }
    if event.metadata().target() != "log" {
        return 0;
    }
    let mut origin = Origin(DefaultHasher::new());
    event.record(&mut origin);
    origin.0.finish()
}

static SUPPRESSED: LazyLock<Counter> = LazyLock::new(Counter::default);

thread_local! {
    static SUPPRESSED_BEFORE: Cell<u64> = const { Cell::new(0) };
}

/// Places that are known at a time. A program has fewer; only the crate `log` could make up names for more.
const MAX_PLACES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_place_has_its_lines_in_each_second_and_the_next_tells_of_the_others() {
        let mut gate = Gate::default();
        let admitted: Vec<_> = [0, 0, 0, 0, 1, 1, 1, 7].map(|second| gate.admit(second, 2)).into();
        assert_eq!(admitted, [Some(0), Some(0), None, None, Some(2), Some(0), None, Some(1)]);
    }

    /// Keeps for each line how many were suppressed before it.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<(&'static str, u64)>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push((event.metadata().target(), suppressed_before()));
        }
    }

    #[test]
    fn each_place_counts_for_itself_and_debug_passes() {
        let seen = Seen::default();
        let mut repeats = Repeats::new(1);
        // No second passes in the test.
        repeats.start = Instant::now() + std::time::Duration::from_secs(3600);
        let subscriber = tracing_subscriber::registry().with(repeats).with(seen.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                tracing::warn!(target: "a", "of a client's making");
                tracing::debug!(target: "b", "asked for");
                tracing::warn!(target: "c", suppressed = 5, "counts itself");
            }
            tracing::warn!(target: "d", "somewhere else");
        });
        let mut targets: Vec<_> = seen.0.lock().unwrap().iter().map(|(target, _)| *target).collect();
        targets.sort_unstable();
        assert_eq!(targets, ["a", "b", "b", "b", "c", "c", "c", "d"]);
    }
}

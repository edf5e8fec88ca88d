//! The log: text on a terminal, JSON otherwise.

mod queue;
mod repeats;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _, Write, stderr};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use sockeye::Counter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};
use queue::Queue;
use repeats::Repeats;

/// A log that has started. What waits to be written is written when it is dropped.
#[derive(Debug)]
pub(crate) struct Started {
    /// Whether people read it: whether it is text.
    pub(crate) is_text: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        flush();
    }
}

/// Starts logging to standard error, from a thread of its own: whoever logs neither waits for standard error nor fails with it.
///
/// # Errors
///
/// The system starts no thread.
pub(crate) fn start(log: &Log) -> io::Result<Started> {
    let variable = std::env::var(VARIABLE).ok().filter(|directives| !directives.is_empty());
    let overriding = variable.map(|directives| EnvFilter::try_new(&directives).map_err(|_| directives));
    let (filter, ignored) = match overriding {
        None => (EnvFilter::new(&log.directives), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(directives)) => (EnvFilter::new(&log.directives), Some(directives)),
    };
    let is_terminal = stderr().is_terminal();
    let is_text = match log.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let queue = QUEUE.get_or_init(|| Queue::new(log.max_queue_bytes));
    let notice = if is_text { text_notice } else { json_notice };
    std::thread::Builder::new().name("sockeye-log".to_owned()).spawn(move || queue.write_to(stderr(), notice))?;
    let lines = Lines { queue, is_text };
    // By default a line that cannot be formatted is reported by `eprintln!`, which panics where standard error is gone.
    let format = fmt::layer().log_internal_errors(false).with_writer(lines);
    let format = match is_text {
        true => format.with_ansi(is_terminal).with_target(false).boxed(),
        false => format.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(Repeats::new(log.max_repeats)).with(format).init();
    std::panic::set_hook(Box::new(log_panic));
    if let Some(directives) = ignored {
        tracing::warn!(directives, "{VARIABLE} cannot be read, and is ignored");
    }
    Ok(Started { is_text })
}

/// Waits until everything is written that was logged; not for long where standard error takes nothing.
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIME);
    }
}

/// Prints to standard error: behind what was logged if there is a log. Where this fails there is nobody to tell.
pub(crate) fn print(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(text.as_bytes().into()),
        None => stderr().lock().write_all(text.as_bytes()).unwrap_or_default(),
    }
}

/// How many lines were dropped because standard error did not take them, and how many were repeats.
pub(crate) fn counters() -> Option<(&'static Counter, &'static Counter)> {
    QUEUE.get().map(|queue| (queue.dropped(), repeats::suppressed()))
}

/// Logs a panic. The hook of the standard library writes to standard error itself, and waits for it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    tracing::error!(
        panic = info.payload_as_str().unwrap_or("a value that is no text"),
        thread = thread.name(),
        location = info.location().map(tracing::field::display),
        backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(&backtrace)),
        "a thread panicked"
    );
}

/// Takes the lines from their formatter.
#[derive(Clone, Copy, Debug)]
struct Lines {
    queue: &'static Queue,
    is_text: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for Lines {
    /// The formatter writes each line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(with_suppressed(line, self.is_text, repeats::suppressed_before()).into());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds to a line how many like it were suppressed before it.
fn with_suppressed(line: &[u8], is_text: bool, suppressed: u64) -> Vec<u8> {
    let mut line = line.to_vec();
    if suppressed > 0 {
        let (end, addition) = match is_text {
            true => (&b"\n"[..], format!(" suppressed={suppressed}\n")),
            false => (&b"}\n"[..], format!(",\"suppressed\":{suppressed}}}\n")),
        };
        if line.ends_with(end) {
            line.truncate(line.len() - end.len());
            line.extend_from_slice(addition.as_bytes());
        }
    }
    line
}

/// What is said of lines that were dropped, as an entry of the log.
fn json_notice(count: u64) -> String {
    let entry = serde_json::json!({
        "timestamp": now(), "level": "WARN", "message": dropped(count), "dropped": count, "target": module_path!(),
    });
    format!("{entry}\n")
}

fn text_notice(count: u64) -> String {
    format!("{}  WARN {}\n", now(), dropped(count))
}

fn dropped(count: u64) -> String {
    let were = if count == 1 { "line was" } else { "lines were" };
    format!("{count} {were} dropped: standard error did not take them")
}

fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The variable that goes over the configuration.
const VARIABLE: &str = "RUST_LOG";

/// How long the end of the program waits for its last lines to be written.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Prints what is wrong to standard error. The further lines of one thing that is wrong are indented.
pub(crate) fn complain(problems: &[String]) -> ExitCode {
    let lines = problems.iter().map(|problem| format!("error: {}\n", problem.replace('\n', "\n       ")));
    print(&lines.collect::<String>());
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_many_before_it_were_suppressed() {
        assert_eq!(with_suppressed(b"a line\n", true, 3), b"a line suppressed=3\n");
        assert_eq!(with_suppressed(b"{\"a\":{}}\n", false, 3), b"{\"a\":{},\"suppressed\":3}\n");
        assert_eq!(with_suppressed(b"a line\n", true, 0), b"a line\n");
    }

    #[test]
    fn a_notice_is_an_entry_of_the_log() {
        let entry: serde_json::Value = serde_json::from_str(&json_notice(2)).unwrap();
        assert_eq!(entry["message"], "2 lines were dropped: standard error did not take them");
        assert_eq!((&entry["level"], &entry["dropped"]), (&"WARN".into(), &2.into()));
        assert!(text_notice(1).ends_with("  WARN 1 line was dropped: standard error did not take them\n"));
    }
}

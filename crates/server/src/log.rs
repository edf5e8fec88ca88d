//! The log: text on a terminal, JSON otherwise.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error. Gives back whether people read it: whether it is text.
pub(crate) fn start(log: &Log) -> bool {
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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if is_text {
        builder.with_ansi(is_terminal).with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    if let Some(directives) = ignored {
        tracing::warn!(directives, "{VARIABLE} cannot be read, and is ignored");
    }
    is_text
}

/// The variable that goes over the configuration.
const VARIABLE: &str = "RUST_LOG";

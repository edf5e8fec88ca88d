//! Runs one hot path, for `check` to count its instructions.
//!
//! usage: instructions --list | instructions PATH RUNS

use std::io::Write as _;
use std::process::ExitCode;

use hot_paths::{Path, paths};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => list(),
        [name, runs] => run(name, runs),
        _ => fail("usage: instructions --list | instructions PATH RUNS"),
    }
}

/// One line each: name, runs, what one run counts for.
fn list() -> ExitCode {
    let mut out = std::io::stdout().lock();
    for Path { name, runs, per_run, .. } in paths() {
        if writeln!(out, "{name} {runs} {per_run}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(name: &str, runs: &str) -> ExitCode {
    let Some(path) = paths().find(|path| path.name == name) else {
        return fail(&format!("there is no path '{name}'"));
    };
    let Ok(runs) = runs.parse() else {
        return fail(&format!("not a number of runs: '{runs}'"));
    };
    (path.open)()(runs);
    ExitCode::SUCCESS
}

fn fail(why: &str) -> ExitCode {
    eprintln!("instructions: {why}");
    ExitCode::from(2)
}

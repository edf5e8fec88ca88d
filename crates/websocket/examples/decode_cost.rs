//! What decoding one masked text frame of 20 bytes costs, in nanoseconds. Run with `--release`.

use std::{
    hint::black_box,
    io::{self, Write},
    time::Instant,
};

use sockeye_websocket::{Decoder, Event, Input, Limits, OpCode, Role, write_masked_frame};

fn main() -> io::Result<()> {
    let mut wire = Vec::new();
    for i in 0..FRAMES {
        write_masked_frame(&mut wire, OpCode::Text, false, b"42[\"message\",\"hello\"", (i as u32 | 1).to_le_bytes());
    }
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    let mut rounds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let mut chunk = wire.clone();
        let start = Instant::now();
        let mut input = Input::new(&mut chunk);
        let mut bytes = 0;
        while let Ok(Some(Event::Text(text))) = decoder.decode(&mut input) {
            bytes += black_box(text).len();
        }
        let nanos = start.elapsed().as_nanos() as f64 / FRAMES as f64;
        assert_eq!(bytes, FRAMES * 20);
        rounds.push(nanos);
    }
    rounds.sort_by(f64::total_cmp);
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    let best = rounds.first().copied().unwrap_or_default();
    writeln!(io::stdout(), "{median:.1} ns per frame in the median round, {best:.1} in the best of {ROUNDS}")
}

/// Frames per round: as many as fill the 64 KiB that a server reads at once.
const FRAMES: usize = 2500;
const ROUNDS: usize = 2001;

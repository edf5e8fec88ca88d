//! Compressing messages (RFC 7692, 7.2.1).

use std::{cell::RefCell, fmt};

use flate2::{Compress, Compression, FlushCompress};

use crate::{deflate::Agreed, error::Error, frame::Role};

/// Compresses the messages of one connection.
///
/// With context takeover it keeps a window between messages and belongs to one connection, and messages must be sent in
/// the order in which they were compressed. Without, it holds no state and what it makes can be sent to every connection
/// that has agreed on the same parameters.
pub struct Deflater {
    /// Kept between messages only with context takeover, from the first message on.
    state: Option<Box<Compress>>,
    takeover: bool,
    settings: Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    window_bits: u8,
    level: u32,
}

impl Deflater {
    /// A compressor for what the end of the connection that has `role` sends.
    #[must_use]
    pub fn new(agreed: &Agreed, role: Role) -> Self {
        let (no_takeover, bits) = match role {
            Role::Server => (agreed.server_no_context_takeover, agreed.server_max_window_bits),
            Role::Client => (agreed.client_no_context_takeover, agreed.client_max_window_bits),
        };
        let settings = Settings { window_bits: bits.clamp(9, 15), level: agreed.level.min(9) };
        Self { state: None, takeover: !no_takeover, settings }
    }

    /// Appends the compressed form of a message to `out`; its frame must have the compressed bit set.
    ///
    /// # Errors
    ///
    /// [`Error::Deflate`] if the compressor fails, which it never should; `out` is then as it was, and a compressor with
    /// context takeover must not be used again.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if payload.is_empty() {
            // RFC 7692, 7.2.3.6. zlib would write nothing at all for a second empty message in a row.
            out.push(0);
            return Ok(());
        }
        let start = out.len();
        let settings = self.settings;
        let result = if self.takeover {
            compress(self.state.get_or_insert_with(|| Box::new(settings.build())), payload, out)
        } else {
            let mut state = take(settings).unwrap_or_else(|| Box::new(settings.build()));
            let result = compress(&mut state, payload, out);
            state.reset();
            put(settings, state);
            result
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("takeover", &self.takeover).field("settings", &self.settings).finish()
    }
}

impl Settings {
    fn build(self) -> Compress {
        Compress::new_with_window_bits(Compression::new(self.level), false, self.window_bits)
    }
}

fn compress(state: &mut Compress, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.reserve(payload.len() / 2);
    let start = state.total_in();
    loop {
        let used = usize::try_from(state.total_in().wrapping_sub(start)).map_err(|_| Error::Deflate)?;
        let rest = payload.get(used..).ok_or(Error::Deflate)?;
        out.reserve(ROOM);
        let before = (out.len(), used);
        state.compress_vec(rest, out, FlushCompress::Sync).map_err(|_| Error::Deflate)?;
        let used = usize::try_from(state.total_in().wrapping_sub(start)).map_err(|_| Error::Deflate)?;
        // Room left over means that the flush is complete.
        if used == payload.len() && out.len() < out.capacity() {
            break;
        }
        if before == (out.len(), used) {
            break;
        }
    }
    if !out.ends_with(TAIL) {
        return Err(Error::Deflate);
    }
    out.truncate(out.len().saturating_sub(TAIL.len()));
    Ok(())
}

fn take(settings: Settings) -> Option<Box<Compress>> {
    let found = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        let at = idle.iter().position(|(of, _)| *of == settings)?;
        Some(idle.swap_remove(at).1)
    });
    found.ok().flatten()
}

fn put(settings: Settings, state: Box<Compress>) {
    // Fails while the thread ends; the state is dropped then.
    let _ended = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push((settings, state));
    });
}

thread_local! {
    static IDLE: RefCell<Vec<(Settings, Box<Compress>)>> = const { RefCell::new(Vec::new()) };
}

/// How many compressors a thread keeps for later, each of up to about 300 KiB: one for each of the settings in use at the
/// same time, which are few.
const MAX_IDLE: usize = 2;
/// What a sync flush ends with, and a message leaves out (RFC 7692, 7.2.1).
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];
/// Free room for each step; more than the few bytes below which zlib could write the end of a flush twice.
const ROOM: usize = 256;

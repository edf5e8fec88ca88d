//! Inflating messages (RFC 7692, 7.2.2).

use std::{cell::Cell, fmt, sync::Arc};

use flate2::{Decompress, FlushDecompress, Status};

use crate::{deflate::Agreed, error::Error, frame::Role};

/// Inflates the messages received on one connection.
///
/// With context takeover it keeps a window from the first compressed message on (about 40 KiB); without, it holds nothing
/// between messages.
pub struct Inflater {
    /// Kept between messages only with context takeover.
    state: Option<Box<Decompress>>,
    takeover: bool,
    /// Dropped with it.
    counted: Option<Arc<()>>,
}

impl Inflater {
    /// A decompressor for what the end of the connection that has `role` receives.
    ///
    /// It has the largest window whatever has been agreed on, as that understands every smaller one.
    #[must_use]
    pub fn new(agreed: &Agreed, role: Role) -> Self {
        let no_takeover = match role {
            Role::Server => agreed.client_no_context_takeover,
            Role::Client => agreed.server_no_context_takeover,
        };
        Self { state: None, takeover: !no_takeover, counted: None }
    }

    /// Holds `handle` for as long as it lives, so that the handle's owner can count its inflaters.
    #[must_use]
    pub fn counted(mut self, handle: Arc<()>) -> Self {
        self.counted = Some(handle);
        self
    }

    /// Appends what a compressed message holds to `out`, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Inflate`] if the message is malformed, [`Error::MessageTooBig`] if it holds more than `limit` bytes. The
    /// connection is lost.
    pub fn inflate(&mut self, payload: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        if self.takeover {
            let state = self.state.get_or_insert_with(|| Box::new(Decompress::new(false)));
            return inflate(state, payload, out, limit);
        }
        let idle = IDLE.try_with(Cell::take).ok().flatten();
        let mut state = idle.unwrap_or_else(|| Box::new(Decompress::new(false)));
        let result = inflate(&mut state, payload, out, limit);
        state.reset(false);
        // Fails while the thread ends; the state is dropped then.
        let _ended = IDLE.try_with(|idle| idle.set(Some(state)));
        result
    }

    /// Whether a window is kept at this moment.
    #[cfg(test)]
    pub(crate) fn holds_state(&self) -> bool {
        self.state.is_some()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("takeover", &self.takeover)
            .field("counted", &self.counted.is_some())
            .finish_non_exhaustive()
    }
}

fn inflate(state: &mut Decompress, payload: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let end = out.len().saturating_add(limit);
    for mut rest in [payload, TAIL] {
        loop {
            make_room(out, rest.len(), end);
            let before = (state.total_in(), out.len());
            let status = state.decompress_vec(rest, out, FlushDecompress::Sync).map_err(|_| Error::Inflate)?;
            if out.len() > end {
                return Err(Error::MessageTooBig { limit });
            }
            let used = usize::try_from(state.total_in().wrapping_sub(before.0)).map_err(|_| Error::Inflate)?;
            rest = rest.get(used..).ok_or(Error::Inflate)?;
            if status == Status::StreamEnd {
                // A block marked as the last one (RFC 7692, 7.2.3.4). What follows is a stream of its own.
                state.reset(false);
                if rest.is_empty() {
                    break;
                }
                continue;
            }
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            if before == (state.total_in(), out.len()) {
                return Err(Error::Inflate);
            }
        }
    }
    Ok(())
}

/// Makes room for the next step: a guess from the length of the input at first, then twice what there is, and in all one
/// byte more than may be filled, which tells a message that is too big from one that just fits.
fn make_room(out: &mut Vec<u8>, input: usize, end: usize) {
    if out.len() < out.capacity() {
        return;
    }
    let guess = input.saturating_mul(4).clamp(MIN_ROOM, MAX_FIRST_ROOM).max(out.len());
    let most = end.saturating_sub(out.len()).saturating_add(1);
    out.reserve_exact(guess.min(most));
}

thread_local! {
    /// One is enough: it is given back before the next can be wanted.
    static IDLE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// What the sender left out (RFC 7692, 7.2.2).
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];
/// The least room for a step, in bytes.
const MIN_ROOM: usize = 64;
/// The most room for the first step, in bytes.
const MAX_FIRST_ROOM: usize = 16 * 1024;

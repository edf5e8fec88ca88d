//! Connection state recovery over streams: a client is found again on any node, whatever became of its own.
//!
//! ```text
//!  emit ─► Journal::emit ─► pending ─► XADD ─► the stream ─► XREAD ─► Journal::handle_own ─┐ with the entry's id
//!                              │                     └──────────────► Journal::handle_event ┴─► outboxes
//!                              └── Redis does not answer in time: at once, without an id; then sessions need a newer one
//!
//!  session ─► Roster ─► SET in the same queue ─► key `sio:session:<pid>` ─► restore on any node ─► what the stream has since
//! ```
//!
//! An event that is kept reaches the clients of every node in the order of the stream, those of the node that emitted it, too. So
//! the id that a client got last tells all that it has. See [`journal`] for what happens while Redis does not answer.

mod deliver;
mod entry_id;
mod floor;
mod journal;
mod keeper;
mod pending;
mod places;
mod record;
mod restore;
mod roster;
mod tail;

pub(crate) use entry_id::EntryId;
pub(crate) use journal::Journal;
pub(crate) use keeper::{Shared, run};
pub(crate) use places::Places;

//! From messages of the connection to packets of Socket.IO, with their attachments.

use std::sync::Arc;

use bytes::Bytes;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::Data;

use super::Client;
use crate::server::Conn;
use crate::telemetry::Bound;
use sockeye_engine::Holder;
use sockeye_engine::internal::Charge;
use sockeye_engine::{Ending, now};

impl Client {
    /// A message of the client: a packet, a part of one, or nonsense.
    pub(super) fn handle_message(&self, conn: &Arc<Conn>, data: Data<'_>) {
        let limits = &conn.app().parser_limits;
        let mut decoder = self.inbound.lock();
        let was_pending = decoder.is_pending();
        let decoded = match data {
            Data::Text(text) => decoder.decode_text(&text, limits),
            Data::Binary(data) => decoder.decode_binary(Bytes::from(data.into_owned()), limits),
        };
        let is_pending = decoder.is_pending();
        let held = decoder.held();
        drop(decoder);
        if (is_pending || was_pending) && !self.charge_attachments(conn, held) {
            return conn.close(CloseReason::Overload, Ending::Gone, "too many bytes of attachments wait for others");
        }
        if was_pending != is_pending {
            if conn.is_unjoined() {
                // It can belong to no namespace: nothing is held for a client that has not even joined one.
                return conn.close(
                    CloseReason::ForcedServerClose,
                    Ending::Graceful,
                    "attachments before a namespace was joined",
                );
            }
            let timeout = conn.app().options.limits.attachment_timeout;
            conn.set_deadline(is_pending.then(|| now().checked_add(timeout)).flatten());
        }
        match decoded {
            Ok(Some(packet)) => self.handle_or_defer(conn, packet),
            Ok(None) => {}
            Err(error) => conn.close(CloseReason::ForcedClose, Ending::Graceful, &error.to_string()),
        }
    }

    /// Charges the account with what has come of attachments; false if it may not.
    fn charge_attachments(&self, conn: &Conn, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if bytes == 0 {
            if let Some(rare) = &mut state.rare {
                rare.attachments = None;
            }
            return true;
        }
        let charge = state.rare().attachments.get_or_insert_with(|| Charge::new(conn.account(), Holder::Incoming));
        charge.resize(bytes)
    }

    /// The attachments of a packet have not come in time.
    pub(super) fn handle_deadline(conn: &Arc<Conn>) {
        conn.app().metrics.bound_reached(Bound::AttachmentTime, conn.id());
        conn.close(CloseReason::ForcedClose, Ending::Graceful, "attachments did not arrive in time");
    }
}

//! Long-polling responses that their clients have not read yet, as far as the HTTP library still holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::budget::{Account, Charge, Holder};

/// The bytes of the responses of one session that are still held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicUsize>);

/// A response that is held: it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Response {
    unread: Unread,
    charge: Charge,
}

impl Unread {
    /// Takes in a response of so many bytes; none if its client may not hold that much, of which `limit` is the most.
    pub(crate) fn begin(&self, account: &Arc<Account>, bytes: usize, limit: usize) -> Option<Response> {
        let held = self.0.load(Ordering::Relaxed);
        // A client reads one response before it asks for the next: if it does, there is nothing else.
        if held > 0 && held.saturating_add(bytes) > limit {
            return None;
        }
        let charge = Charge::take(account, Holder::Responses, held, bytes)?;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Some(Response { unread: self.clone(), charge })
    }
}

impl Response {
    /// The body, which carries this with it.
    pub(crate) fn attach(self, body: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Body { body, _response: self })
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        self.unread.0.fetch_sub(self.charge.bytes(), Ordering::Relaxed);
    }
}

struct Body<B> {
    body: B,
    _response: Response,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Body<B> {
    fn as_ref(&self) -> &[u8] {
        self.body.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budgets, Ledger};

    #[test]
    fn a_response_counts_until_the_last_slice_of_it_is_gone() {
        let account = Account::own(&Arc::new(Ledger::new(&Budgets::of(0))));
        let unread = Unread::default();
        let body = unread.begin(&account, 900, 1_000).unwrap().attach(vec![0; 900]);
        assert!(unread.begin(&account, 200, 1_000).is_none());
        let slice = body.slice(10..20);
        drop(body);
        assert!(unread.begin(&account, 200, 1_000).is_none());
        drop(slice);
        // Whatever its size, one response always fits.
        assert!(unread.begin(&account, 2_000, 1_000).is_some());
    }
}

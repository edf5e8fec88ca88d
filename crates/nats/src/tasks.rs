//! The tasks behind the adapter.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::link::{Hub, Inbox};
use crate::role::Role;
use crate::{connection, dispatcher, jetstream, presence, publisher};

/// A namespace opens: its messages are taken from now on, until the task that is given back is ended.
pub(crate) fn enter(hub: &Hub, inbox: &Arc<Inbox>) -> AbortHandle {
    hub.enter(|tasks| {
        tasks.start(Role::Connecting, connection::run);
        tasks.start(Role::Connecting, connection::probe);
        tasks.start(Role::Publishing, publisher::run);
        tasks.start(Role::Delivering, dispatcher::run);
        tasks.start(Role::Listening, dispatcher::take_answers);
        tasks.start(Role::Listening, presence::run);
        if let Some(options) = hub.link().options.jetstream.clone() {
            tasks.start(Role::Following, move |link| jetstream::run(link, options.clone()));
            tasks.start(Role::Recovering, |link| async move { link.jetstream.driver.run().await });
        }
    });
    hub.link().inboxes.write().insert(inbox.subjects.namespace().to_owned(), inbox.clone());
    let inbox = inbox.clone();
    hub.start(Role::Listening, move |link| dispatcher::take_messages(link, inbox.clone()))
}

/// A namespace has closed.
pub(crate) fn leave(hub: &Hub, inbox: &Arc<Inbox>) {
    let mut inboxes = hub.link().inboxes.write();
    if inboxes.get(inbox.subjects.namespace()).is_some_and(|entered| Arc::ptr_eq(entered, inbox)) {
        inboxes.remove(inbox.subjects.namespace());
    }
    drop(inboxes);
    hub.leave(|link| {
        // The last handle: the library ends the connection.
        link.client.send_replace(None);
    });
}

//! Checks and routes that wait: the order of events, and whom a wait holds up.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../../tests/support/client.rs"]
mod client;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use sockeye::{Limits, ServerBuilder, Socket};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::chain::{Check, Outcome};
use super::event::Event;
use super::refusal::Refusal;
use super::{Stopping, install};
use crate::config::{NamespaceRule, rules};
use client::Client;

/// Lets an event pass with a permit only, tells that it waits for one, and then does as its first argument says.
#[derive(Debug)]
struct Gate {
    permits: Semaphore,
    waiting: mpsc::Sender<()>,
}

impl Check for Arc<Gate> {
    fn check<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, ()> {
        Outcome::Later(Box::pin(async move {
            self.waiting.try_send(()).unwrap();
            self.permits.acquire().await.unwrap().forget();
            match event.context.args().to_values().unwrap()[0].as_str() {
                Some("refuse") => Err(Refusal::NotAllowed),
                Some("panic") => panic!("a check of a test"),
                _ => Ok(()),
            }
        }))
    }

    fn may_wait(&self) -> bool {
        true
    }
}

/// A server with `slow`, which waits at the gate, and `fast`, which does not. Both go to all others.
struct Setup {
    address: SocketAddr,
    gate: Arc<Gate>,
    waiting: mpsc::Receiver<()>,
    gone: mpsc::Receiver<()>,
    server: sockeye::Server,
}

async fn setup(limits: Limits) -> Setup {
    let (sender, waiting) = mpsc::channel(1_000);
    let gate = Arc::new(Gate { permits: Semaphore::new(0), waiting: sender });
    let mut rules = rules(
        "[[namespace]]\nname = \"/\"\n[[namespace.event]]\nname = \"slow\"\nroute = { kind = \"broadcast\" }\n\
         [[namespace.event]]\nname = \"fast\"\nroute = { kind = \"broadcast\" }\n",
    );
    guard(&mut rules, "slow", &gate);
    let server = ServerBuilder::default().limits(limits).build();
    install(&server, &rules, &Stopping::default());
    let (sender, gone) = mpsc::channel(1_000);
    server.on_disconnect(move |_: Socket| sender.try_send(()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener, axum::Router::new()).await }
    });
    Setup { address, gate, waiting, gone, server }
}

/// Puts the gate before the other checks of an event.
fn guard(rules: &mut [NamespaceRule], event: &str, gate: &Arc<Gate>) {
    let rule = rules[0].events.iter_mut().find(|rule| rule.name == event).unwrap();
    let chain = Arc::into_inner(std::mem::replace(&mut rule.chain, nothing())).unwrap();
    rule.chain = Arc::new(chain.after(vec![Box::new(gate.clone())]));
}

fn nothing() -> Arc<super::Chain> {
    rules("[[namespace]]\nname = \"/\"\n[[namespace.event]]\nname = \"x\"\nroute = { kind = \"refuse\" }")[0].events[0]
        .chain
        .clone()
}

impl Setup {
    async fn client(&self) -> Client {
        Client::connect(self.address, json!({})).await
    }
}

#[tokio::test]
async fn events_of_a_client_keep_their_order_and_hold_up_nobody_else() {
    let mut setup = setup(Limits::default()).await;
    let (mut anna, mut ben, mut eve) = (setup.client().await, setup.client().await, setup.client().await);
    anna.emit("slow", json!([1])).await;
    anna.emit("fast", json!([2])).await;
    anna.emit("slow", json!([3])).await;
    setup.waiting.recv().await.unwrap();
    assert_eq!(eve.ask("fast", json!(["of Eve"])).await, json!({ "ok": true }));
    setup.gate.permits.add_permits(2);
    for expected in [json!(["fast", "of Eve"]), json!(["slow", 1]), json!(["fast", 2]), json!(["slow", 3])] {
        assert_eq!(ben.event().await, expected);
    }
}

#[tokio::test]
async fn a_refusal_after_a_wait_is_answered_and_the_next_event_goes_on() {
    let setup = setup(Limits::default()).await;
    let (mut anna, mut ben) = (setup.client().await, setup.client().await);
    setup.gate.permits.add_permits(1);
    assert_eq!(anna.ask("slow", json!(["refuse"])).await, json!({ "ok": false, "error": "not allowed" }));
    assert_eq!(anna.ask("fast", json!([1])).await, json!({ "ok": true }));
    assert_eq!(ben.event().await, json!(["fast", 1]));
}

#[tokio::test]
async fn a_flood_of_events_that_wait_is_bounded_and_none_is_lost() {
    let mut limits = Limits::default();
    limits.max_handlers = 4;
    let mut setup = setup(limits).await;
    let (mut anna, mut ben) = (setup.client().await, setup.client().await);
    for number in 0..100 {
        anna.emit("slow", json!([number])).await;
    }
    setup.waiting.recv().await.unwrap();
    setup.gate.permits.add_permits(100);
    for number in 0..100 {
        assert_eq!(ben.event().await, json!(["slow", number]));
    }
}

#[tokio::test]
async fn an_event_that_waits_when_its_client_goes_is_passed_on() {
    let mut setup = setup(Limits::default()).await;
    let (mut anna, mut ben) = (setup.client().await, setup.client().await);
    anna.emit("slow", json!([1])).await;
    setup.waiting.recv().await.unwrap();
    drop(anna);
    setup.gone.recv().await.unwrap();
    setup.gate.permits.add_permits(1);
    assert_eq!(ben.event().await, json!(["slow", 1]));
}

#[tokio::test]
async fn a_check_that_panics_is_counted_and_costs_its_client_alone() {
    let mut setup = setup(Limits::default()).await;
    let (mut anna, mut ben, mut eve) = (setup.client().await, setup.client().await, setup.client().await);
    anna.emit("slow", json!(["panic"])).await;
    anna.emit("slow", json!([1])).await;
    setup.waiting.recv().await.unwrap();
    setup.gate.permits.add_permits(2);
    setup.gone.recv().await.unwrap();
    assert_eq!(setup.server.metrics().handler_panics.value(), 1);
    assert_eq!(eve.ask("slow", json!([2])).await, json!({ "ok": true }));
    assert_eq!(ben.event().await, json!(["slow", 2]));
}

#[test]
fn only_what_waits_is_handled_as_if_it_did() {
    let text = "[[namespace]]\nname = \"/\"\n[[namespace.event]]\nname = \"a\"\nroute = { kind = \"members\", room = \"r\" }\n";
    let alone = rules(text);
    assert!(!alone[0].events[0].chain.may_wait());
    let clustered =
        rules(&format!("{text}[cluster]\nadapter = \"redis\"\n[cluster.redis]\nurl = \"redis://127.0.0.1\""));
    let chain = &clustered[0].events[0].chain;
    assert!(chain.may_wait() && !chain.needs_order(), "a question holds up nothing");
}

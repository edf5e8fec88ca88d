//! Clients that come back, to whichever node.

use sockeye::Server;

use crate::fleet::eventually;
use crate::visitor::{Pass, Visitor};
use crate::{Fleet, Recovering};

fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("42[\"e\",{number}]")).collect()
}

/// A client of a server, in the room `r`, which has got an event.
async fn visitor(server: &Server) -> Visitor {
    let mut visitor = Visitor::enter(server).await;
    server.main_namespace().sockets().socket(&visitor.client.id).unwrap().join("r").unwrap();
    server.to(visitor.client.id.as_str()).emit("e", 0);
    assert_eq!(visitor.event().await, "42[\"e\",0]");
    assert!(visitor.pass.offset.is_some(), "the event has an offset");
    visitor
}

/// Emits some events, of which a client in the room `r` is to get the numbers 1 and 2.
fn emit_some(server: &Server) {
    server.to("r").emit("e", 1);
    server.to("elsewhere").emit("e", 100);
    server.volatile().emit("e", 101);
    server.emit("e", 2);
}

/// The client is recovered at the server, has missed the events 1 and 2, and gets what follows.
async fn is_recovered(pass: &Pass, server: &Server, emitter: &Server) {
    let (mut visitor, missed) = pass.come_back(server).await.expect("it is recovered");
    assert_eq!(missed, numbered(1..3));
    emitter.to("r").emit("e", 3);
    assert_eq!(visitor.event().await, "42[\"e\",3]");
}

/// All nodes deliver the events of all in the order of the log, with the same offsets.
pub async fn events_have_one_order<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let (mut one, mut two) = (Visitor::enter(fleet.server(0)).await, Visitor::enter(fleet.server(1)).await);
    let emitting = [0, 1].map(|at| {
        let server = fleet.server(at).clone();
        tokio::spawn(async move {
            for number in 0..100 {
                server.emit("e", (at, number));
                tokio::task::yield_now().await;
            }
        })
    });
    for emitting in emitting {
        emitting.await.unwrap();
    }
    let events = one.events(200).await;
    assert!(events.is_sorted_by(|(one, _), (next, _)| one < next), "{events:?}");
    assert_eq!(two.events(200).await, events);
}

/// To its own node.
pub async fn a_client_comes_back<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    emit_some(fleet.server(1));
    is_recovered(&pass, fleet.server(0), fleet.server(1)).await;
}

/// By another node, while its own goes on.
pub async fn a_client_is_recovered_elsewhere<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    emit_some(fleet.server(0));
    is_recovered(&pass, fleet.server(1), fleet.server(0)).await;
}

/// Its old connection ends, which has not noticed yet that the client is gone.
pub async fn a_client_that_moves_is_there_once<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let old = visitor(fleet.server(0)).await;
    emit_some(fleet.server(0));
    is_recovered(&old.pass, fleet.server(1), fleet.server(0)).await;
    let sockets = fleet.server(0).main_namespace().sockets().clone();
    eventually("the old socket is gone", || async { sockets.socket(&old.pass.id).is_none() }).await;
}

/// By another node, when its own is not heard of.
pub async fn a_client_of_a_dead_node_is_recovered<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let visitor = visitor(fleet.server(0)).await;
    fleet.cluster.cut(fleet.name(0));
    emit_some(fleet.server(1));
    is_recovered(&visitor.pass, fleet.server(1), fleet.server(1)).await;
}

/// Where two nodes find it at once, one gets it; the other may take it over from that one. The client is there once.
pub async fn a_session_is_claimed_once<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(3).await;
    for _ in 0..5 {
        let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
        let (one, two) = tokio::join!(pass.come_back(fleet.server(1)), pass.come_back(fleet.server(2)));
        assert!(one.is_some() || two.is_some(), "it is recovered");
        let sockets = [1, 2].map(|at| fleet.server(at).main_namespace().sockets().clone());
        let is_once = || async { sockets.iter().filter(|sockets| sockets.socket(&pass.id).is_some()).count() == 1 };
        eventually("it is there once", is_once).await;
    }
}

/// Clients say what they like.
pub async fn nonsense_recovers_nobody<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    let long = "x".repeat(10_000);
    for secret in ["", "unknown", "*", ">", "a.b", "../x", "{}", "é", "a b", &long] {
        let wrong = Pass { secret: secret.to_owned(), ..pass.clone() };
        assert!(wrong.come_back(fleet.server(1)).await.is_none(), "the secret {secret}");
    }
    for offset in ["", "nonsense", "-1", "18446744073709551615-0", "99999999999999999999-0", &long] {
        let wrong = Pass { offset: Some(offset.to_owned()), ..pass.clone() };
        assert!(wrong.come_back(fleet.server(1)).await.is_none(), "the offset {offset}");
    }
    fleet.server(1).to("r").emit("e", 1);
    let (_visitor, missed) = pass.come_back(fleet.server(1)).await.expect("it is there still");
    assert_eq!(missed, numbered(1..2));
}

/// A client that has missed events which are gone begins anew.
pub async fn a_trimmed_log_is_no_silent_gap<C: Recovering>() {
    let mut fleet = Fleet::<C>::recovering(2).await;
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    emit_some(fleet.server(1));
    // All nodes have read them.
    fleet.received(&[2, 2]).await;
    fleet.cluster.trim();
    assert!(pass.come_back(fleet.server(1)).await.is_none());
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    emit_some(fleet.server(1));
    is_recovered(&pass, fleet.server(1), fleet.server(1)).await;
}

/// Own clients are served, but no client is recovered that may have missed something.
pub async fn a_broker_that_refuses_is_no_silent_gap<C: Recovering>() {
    let mut fleet = Fleet::<C>::recovering(2).await;
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    let mut stays = visitor(fleet.server(0)).await;
    fleet.cluster.refuse_to_keep(true);
    fleet.server(0).to("r").emit("e", 1);
    assert_eq!(stays.event().await, "42[\"e\",1]");
    assert!(pass.come_back(fleet.server(0)).await.is_none());
    assert!(pass.come_back(fleet.server(1)).await.is_none());
    fleet.cluster.refuse_to_keep(false);
    for at in 0..2 {
        fleet.wait_until_kept(at).await;
    }
    assert!(pass.come_back(fleet.server(1)).await.is_none(), "the event was not kept");
    let pass = visitor(fleet.server(0)).await.leave(fleet.server(0)).await;
    emit_some(fleet.server(0));
    is_recovered(&pass, fleet.server(1), fleet.server(0)).await;
}

/// It reads on where it stopped.
pub async fn a_node_that_was_cut_off_misses_nothing<C: Recovering>() {
    let fleet = Fleet::<C>::recovering(2).await;
    let mut visitor = visitor(fleet.server(1)).await;
    fleet.cluster.cut(fleet.name(1));
    for number in 1..100 {
        fleet.server(0).emit("e", number);
    }
    fleet.cluster.heal(fleet.name(1));
    let events = visitor.events(99).await;
    assert!(events.is_sorted_by(|(one, _), (next, _)| one < next), "{events:?}");
    assert_eq!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), numbered(1..100));
}

/// Its own clients get it without an offset; a client that shows an older one may have it or not.
pub async fn what_a_cut_off_node_emits_is_no_silent_gap<C: Recovering>() {
    let mut fleet = Fleet::<C>::recovering(2).await;
    let mut visitor = visitor(fleet.server(0)).await;
    fleet.cluster.cut(fleet.name(0));
    fleet.server(0).to("r").emit("e", 1);
    assert_eq!(visitor.event().await, "42[\"e\",1]");
    fleet.cluster.heal(fleet.name(0));
    fleet.wait_until_kept(0).await;
    assert!(visitor.pass.come_back(fleet.server(1)).await.is_none());
}

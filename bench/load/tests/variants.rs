//! Parsers, binary payloads, compression, TLS, namespaces and many rooms, against a server in this process.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use sockeye::{Parser, PerMessageDeflate, Server};
use sockeye_load::{MessagesReport, Report};
use support::{bench, serve_variant};
use tokio_rustls::TlsAcceptor;

/// Runs a scenario for half a second; nothing may be lost.
fn clean(url: &str, scenario: &str) -> Report {
    let report = bench(&format!("{scenario} {url} --duration 500ms --warmup 0s --clients 7")).unwrap();
    assert!(report.is_clean(), "{scenario}: {}", report.to_text());
    let messages = report.messages.as_ref().unwrap();
    assert!(messages.received > 0 && messages.foreign == 0, "{scenario}: {}", report.to_text());
    report
}

fn messages(address: SocketAddr, scenario: &str) -> MessagesReport {
    clean(&format!("http://{address}"), scenario).messages.unwrap()
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn both_parsers_carry_text_and_binary_in_every_scenario() {
    for (parser, name) in [(Parser::Json, "json"), (Parser::MsgPack, "msgpack")] {
        let address = serve_variant(Server::builder().parser(parser).build(), None);
        for scenario in ["echo --window 3", "ack --window 3", "broadcast", "rooms --room-size 3", "polling"] {
            for binary in ["", " --binary"] {
                messages(address, &format!("{scenario} --parser {name} --payload 100{binary}"));
            }
        }
    }
    let report = clean(&format!("http://{}", serve_variant(Server::new(), None)), "echo --binary");
    assert_eq!(report.variants, ["binary"]);
}

#[test]
fn the_other_parser_is_told_from_a_server_that_is_slow() {
    let address = serve_variant(Server::new(), None);
    let run = format!("echo http://{address} --parser msgpack --clients 1 --duration 1s");
    assert!(!bench(&run).unwrap().is_clean());
}

#[test]
fn compressed_messages_are_inflated() {
    let io = Server::builder().per_message_deflate(PerMessageDeflate::from_bytes(0)).build();
    let address = serve_variant(io, None);
    for payload in [14, 5_000] {
        messages(address, &format!("broadcast --deflate --payload {payload}"));
    }
    let without = serve_variant(Server::new(), None);
    let report = bench(&format!("echo http://{without} --deflate --clients 1 --duration 1s")).unwrap();
    assert!(report.to_text().contains("does not agree to permessage-deflate"), "{}", report.to_text());
}

#[test]
fn tls_by_both_transports_with_payloads_of_many_records() {
    let url = format!("https://{}", serve_variant(Server::new(), Some(acceptor())));
    for scenario in ["echo --window 4", "echo --window 2 --payload 300000", "polling", "broadcast --threads 2"] {
        let report = clean(&url, &format!("{scenario} --insecure"));
        assert_eq!(report.variants, ["TLS"]);
    }
}

#[test]
fn a_certificate_that_nobody_signed_is_refused() {
    let url = format!("https://{}", serve_variant(Server::new(), Some(acceptor())));
    let report = bench(&format!("echo {url} --clients 1 --duration 1s")).unwrap();
    assert!(report.connected == 0 && report.to_text().contains("--insecure"), "{}", report.to_text());
}

#[test]
fn clients_are_spread_over_namespaces() {
    let address = serve_variant(Server::new(), None);
    messages(address, "ack --namespaces 3");
    // Three clients in the main namespace, two in each of the others; one in each sends.
    let all = messages(address, "broadcast --namespaces 3 --rate 60");
    assert_eq!((all.sent, all.received), (30, 10 * (3 + 2 + 2)));
    messages(address, "rooms --namespaces 3 --room-size 2 --parser json");
}

#[test]
fn clients_in_many_rooms_get_what_is_for_each() {
    let address = serve_variant(Server::new(), None);
    // Seven clients in three of five rooms: four or five are in each.
    let some = messages(address, "rooms --rooms 5 --rooms-per-client 3 --rate 100");
    assert!(some.sent == 50 && (200..=250).contains(&some.received), "{some:?}");
    // Nobody shares a room.
    let alone = messages(address, "rooms --rooms 1000 --rooms-per-client 20 --senders 7");
    assert_eq!(alone.sent, alone.received);
    messages(address, "rooms --rooms 12 --rooms-per-client 12 --namespaces 2 --binary");
}

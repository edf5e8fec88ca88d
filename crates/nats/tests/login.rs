//! Every way to log in, and encryption.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa};
use serde_json::{Value, json};
use sockeye_nats::{Login, NatsAdapter, NatsOptions};
use support::Joined;
use support::server::{CURRENT, Server as Nats};

/// Two servers get in with these options and hear one another.
async fn get_in(options: NatsOptions) {
    let first = Joined::opened(options.clone()).await;
    let second = Joined::opened(options).await;
    first.talks_with(&second).await;
}

/// Why a server does not get in.
async fn stays_out(options: NatsOptions) -> String {
    let joined = Joined::new(options);
    let opening = joined.open();
    support::eventually("it is tried", || joined.nats.metrics().disconnects.value() >= 2).await;
    opening.abort();
    joined.nats.check().unwrap_err().to_string()
}

fn at(port: u16, user: &str) -> NatsOptions {
    NatsOptions::new(format!("nats://{user}127.0.0.1:{port}"))
}

#[tokio::test]
async fn with_a_password() {
    let nats = Nats::start("authorization { user: sockeye, password: \"p@ss/word:#1\" }");
    get_in(at(nats.port, "sockeye:p%40ss%2Fword%3A%231@")).await;
    for wrong in ["", "sockeye:wrong@"] {
        let reason = stays_out(at(nats.port, wrong)).await;
        assert!(reason.contains("authorization violation"), "{reason}");
    }
}

#[tokio::test]
async fn with_a_token() {
    let nats = Nats::start("authorization { token: \"s3cr/t\" }");
    get_in(at(nats.port, "s3cr%2Ft@")).await;
}

#[tokio::test]
async fn with_an_nkey() {
    let user = KeyPair::new_user();
    let nats = Nats::start(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key()));
    let mut options = at(nats.port, "");
    options.login = Login::NKey(user.seed().unwrap());
    get_in(options.clone()).await;
    options.login = Login::NKey(KeyPair::new_user().seed().unwrap());
    let reason = stays_out(options).await;
    assert!(reason.contains("authorization violation"), "{reason}");
}

/// With the chain of trust that `nsc` makes.
#[tokio::test]
async fn with_a_credentials_file() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 });
    let of_operator = token(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
    let of_account = token(&operator, &account, &json!({ "type": "account", "version": 2, "limits": limits }));
    let of_user =
        token(&account, &user, &json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 }));
    let nats = Nats::start(&format!(
        "operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {of_account} }}",
        account.public_key()
    ));
    let mut options = at(nats.port, "");
    options.login = Login::Credentials(format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().unwrap()
    ));
    get_in(options.clone()).await;
    options.login = Login::Credentials("nonsense".to_owned());
    let error = NatsAdapter::new(options).unwrap_err().to_string();
    assert!(error.starts_with("the credentials of NATS cannot be used"), "{error}");
}

/// A JWT of NATS.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let claims = json!({
        "jti": "x", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "tests", "nats": nats,
    });
    let head = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{head}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[tokio::test]
async fn with_encryption_and_a_certificate() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "tests");
    let ca = CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    let nats = Nats::stopped(CURRENT, |folder| {
        let file = |name: &str, text: &str| {
            fs::write(folder.join(name), text).unwrap();
            folder.join(name).display().to_string()
        };
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
            file("cert.pem", &certificate.pem()),
            file("key.pem", &key.serialize_pem()),
            file("ca.pem", &ca.pem())
        )
    });
    nats.run();
    let mut options = NatsOptions::new(format!("tls://localhost:{}", nats.port));
    options.tls.ca = Some(ca.pem().into_bytes());
    options.tls.certificate = Some(certificate.pem().into_bytes());
    options.tls.key = Some(key.serialize_pem().into_bytes());
    get_in(options.clone()).await;
    // The server asks for encryption whatever the url says.
    options.url = nats.url();
    get_in(options.clone()).await;
    options.tls.ca = None;
    let reason = stays_out(options.clone()).await;
    assert!(reason.contains("certificate"), "{reason}");
    options.tls.key = None;
    assert!(NatsAdapter::new(options).unwrap_err().to_string().contains("without the other"));
}

/// What only this node's own settings make useful is enough.
#[tokio::test]
async fn with_the_right_to_its_own_subjects() {
    let nats = Nats::start(
        "authorization { users: [ { user: u, password: p, permissions: { publish: [\"sockeye.>\", \"_INBOX.>\"], subscribe: \"sockeye.>\" } } ] }",
    );
    let first = Joined::opened(at(nats.port, "u:p@")).await;
    let second = Joined::opened(at(nats.port, "u:p@")).await;
    first.talks_with(&second).await;
    assert_eq!((first.nats.check(), first.nats.metrics().refused.value()), (Ok(()), 0));
}

/// The server says which subject it refuses.
#[tokio::test]
async fn without_the_right_to_listen() {
    let nats = Nats::start(
        "authorization { users: [ { user: u, password: p, permissions: { publish: \">\", subscribe: [\"sockeye.inbox.>\", \"sockeye.node.>\"] } } ] }",
    );
    let joined = Joined::new(at(nats.port, "u:p@"));
    let opening = joined.open();
    support::eventually("it is told", || joined.nats.metrics().refused.value() >= 1).await;
    let reason = joined.becomes_unhealthy().await;
    assert!(reason.contains("sockeye.to.%2F.>"), "{reason}");
    assert!(!opening.is_finished());
    opening.abort();
}

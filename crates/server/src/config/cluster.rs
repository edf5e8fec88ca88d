//! Forwarding between the nodes of a cluster, as the configuration has it. What joins them is in [`backend`](crate::backend).

use sockeye::peers::PeerOptions;

use super::problems::Problems;
use crate::backend::PeersSection;

/// Forwarding between the nodes; none where something is wrong, which is reported.
pub(super) fn peers(raw: &PeersSection, problems: &mut Problems) -> Option<PeerOptions> {
    let before = problems.len();
    let secret = raw.secret.as_deref().unwrap_or_default();
    if secret.len() < PeerOptions::MIN_SECRET {
        let least = PeerOptions::MIN_SECRET;
        let text = format!(
            "must be a secret of at least {least} bytes, the same on all nodes: `openssl rand -hex 32` makes one"
        );
        problems.add("cluster.peers.secret", text);
    }
    let is_address = |address: &str| {
        let port = address.rsplit_once(':').map(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        port.unwrap_or(false)
    };
    match &raw.advertise {
        Some(address) if !is_address(address) => {
            problems.add("cluster.peers.advertise", "must be a host and a port, such as \"10.0.0.7:3001\"");
        }
        None if raw.listen.ip().is_unspecified() => {
            let text =
                "is missing: with listen on all addresses, the host and port by which other nodes reach this one";
            problems.add("cluster.peers.advertise", text);
        }
        _ => {}
    }
    if problems.len() > before {
        return None;
    }
    let mut options = PeerOptions::new(secret);
    options.listen = raw.listen;
    options.advertise.clone_from(&raw.advertise);
    Some(options)
}

//! What nodes seal with the secret that they share: the owner within a session id, and what a forwarded request says of itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;

use super::directory::NodeTag;
use crate::id::{Id, IdBytes, decode_id, encode_id};

/// The secret, as the key of a keyed hash.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

/// What a hash is for, so that none can be taken for another.
#[derive(Clone, Copy)]
enum Purpose {
    /// Hides the owner within an id.
    Mask = 1,
    /// Tells an id of ours from a forged one.
    Check = 2,
    /// Proves that a request comes from a node.
    Proof = 3,
}

/// Random bytes of an id. Four of the others are the owner, masked; the last is the check.
const RANDOM: usize = 10;

impl Secret {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("the hash takes keys of any length"))
    }

    /// A fresh session id, unguessable, that names its owner to whoever has the secret.
    pub(crate) fn session_id(&self, owner: NodeTag) -> Id {
        let mut random = [0; RANDOM];
        rand::rng().fill_bytes(&mut random);
        encode_id(&self.seal(random, owner))
    }

    /// The owner that a session id names. None if it was not made with this secret: of forged ids, one in 256 gets through.
    pub(crate) fn owner(&self, id: &str) -> Option<NodeTag> {
        let bytes = decode_id(id)?;
        let random = *bytes.first_chunk::<RANDOM>()?;
        let [masked @ .., _] = *bytes.last_chunk::<5>()?;
        let owner = NodeTag::from_bytes(self.mask(random, masked));
        (self.seal(random, owner) == bytes).then_some(owner)
    }

    fn seal(&self, random: [u8; RANDOM], owner: NodeTag) -> IdBytes {
        let check = self.hash(Purpose::Check, &[&random[..], &owner.to_bytes()[..]]).finalize().into_bytes();
        let mut bytes = IdBytes::default();
        bytes[..RANDOM].copy_from_slice(&random);
        bytes[RANDOM..RANDOM + 4].copy_from_slice(&self.mask(random, owner.to_bytes()));
        bytes[RANDOM + 4] = check[0];
        bytes
    }

    /// Hides what is clear, and shows what is hidden.
    fn mask(&self, random: [u8; RANDOM], bytes: [u8; 4]) -> [u8; 4] {
        let mask = self.hash(Purpose::Mask, &[random]).finalize().into_bytes();
        std::array::from_fn(|at| bytes[at] ^ mask[at])
    }

    /// The proof that a node says this.
    pub(crate) fn prove(&self, statement: &[impl AsRef<[u8]>]) -> String {
        URL_SAFE_NO_PAD.encode(self.hash(Purpose::Proof, statement).finalize().into_bytes())
    }

    /// Whether it is the proof; how long that takes does not tell how much of it is right.
    pub(crate) fn is_proof(&self, proof: &str, statement: &[impl AsRef<[u8]>]) -> bool {
        let proof = URL_SAFE_NO_PAD.decode(proof).unwrap_or_default();
        self.hash(Purpose::Proof, statement).verify_slice(&proof).is_ok()
    }

    /// The parts have a length that is always the same, or no zero byte in them.
    fn hash(&self, purpose: Purpose, parts: &[impl AsRef<[u8]>]) -> Hmac<Sha256> {
        let mut hash = self.0.clone();
        hash.update(&[purpose as u8]);
        for part in parts {
            hash.update(part.as_ref());
            hash.update(&[0]);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_owner_to_those_who_have_the_secret() {
        let (ours, theirs) = (Secret::new(b"a secret of the nodes"), Secret::new(b"another secret of nodes"));
        let owner = NodeTag::from_bytes([1, 2, 3, 4]);
        let ids: Vec<_> = (0..1000).map(|_| ours.session_id(owner)).collect();
        assert!(ids.iter().all(|id| id.len() == 20 && ours.owner(id) == Some(owner)));
        let told = ids.iter().filter(|id| theirs.owner(id).is_some()).count();
        assert!(told < 30, "{told} of 1,000, where about 4 are expected");
        // No character is the same in all of them: nothing shows that they have an owner in common.
        for at in 0..20 {
            let different: std::collections::HashSet<_> = ids.iter().map(|id| id.as_bytes()[at]).collect();
            assert!(different.len() > 32, "character {at}");
        }
    }

    #[test]
    fn an_id_that_was_changed_names_nobody() {
        let secret = Secret::new(b"a secret of the nodes");
        let id = decode_id(&secret.session_id(NodeTag::from_bytes([1, 2, 3, 4]))).unwrap();
        let changed = (0..120).map(|bit| {
            let mut id = id;
            id[bit / 8] ^= 1 << (bit % 8);
            encode_id(&id)
        });
        let named = changed.filter(|id| secret.owner(id).is_some()).count();
        assert!(named < 10, "{named} of 120, where one in 256 is expected");
    }

    #[test]
    fn a_proof_holds_for_what_was_said_only() {
        let secret = Secret::new(b"a secret of the nodes");
        let proof = secret.prove(&["GET", "/a"]);
        assert!(secret.is_proof(&proof, &["GET", "/a"]));
        assert!(!secret.is_proof(&proof, &["GET/a"]) && !secret.is_proof(&proof, &["GET/", "a"]));
        assert!(!secret.is_proof("", &["GET", "/a"]) && !secret.is_proof("?", &["GET", "/a"]));
        assert!(!Secret::new(b"another secret of nodes").is_proof(&proof, &["GET", "/a"]));
    }
}

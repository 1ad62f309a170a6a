//! Sealing secrets: the vault keeps nonce and value, the log's row only the id
//! and a digest of both. Without the nonce a digest says nothing, even about a
//! short secret; with the vault's entry erased nobody can check a guess.
//!
//! Must never know where randomness comes from: ids and nonces are given.

use super::Sealed;
use crate::value::Ref;
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// What a row of the log may say about a secret: SHA-256(nonce ‖ value).
pub type Digest = [u8; 32];

impl Sealed {
    /// Seals a secret; `id` and `nonce` are random and used once.
    pub fn new(id: Ref, nonce: [u8; 16], secret: &[u8]) -> Sealed {
        Sealed { id, nonce, value: Zeroizing::new(secret.to_vec()) }
    }

    /// What the log's row says about the secret.
    pub fn digest(&self) -> Digest {
        Sha256::new().chain_update(self.nonce).chain_update(&*self.value).finalize().into()
    }
}

/// The secret and its nonce are never printed.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_nonce_and_value() {
        let sealed = Sealed::new(Ref([1; 16]), [2; 16], b"secret");
        let expected: Digest = Sha256::digest([&[2; 16][..], b"secret"].concat()).into();
        assert_eq!(sealed.digest(), expected);
        assert_ne!(Sealed::new(Ref([1; 16]), [3; 16], b"secret").digest(), expected);
    }

    #[test]
    fn a_sealed_secret_is_never_printed() {
        assert!(!format!("{:?}", Sealed::new(Ref([1; 16]), *b"nonce nonce nonc", b"secret")).contains("nonce"));
    }
}

//! Sealing secrets: the vault keeps nonce and value, the log's row only the id
//! and a digest of both. Without the nonce a digest says nothing, even about a
//! short secret; with the vault's entry erased nobody can check a guess.
//!
//! Must never know where randomness comes from: ids and nonces are given.

use super::{Sealed, StorageError};
use crate::value::Ref;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write};
use std::pin::Pin;
use subtle::ConstantTimeEq;
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

impl Sealed {
    /// What a field that says where a secret is holds: the vault's id and the digest, as text.
    pub fn seal(&self) -> String {
        let mut text = self.id.uuid_text();
        text.push(':');
        for byte in self.digest() {
            write!(text, "{byte:02x}").expect("BUG: writing to a string cannot fail");
        }
        text
    }

    /// Whether this is what the field's text was made of.
    pub fn fits(&self, seal: &str) -> bool {
        self.seal().as_bytes().ct_eq(seal.as_bytes()).into()
    }
}

/// Where secrets are read.
pub trait Secrets: Send + Sync + 'static {
    /// A secret by its id; `None` once it was erased.
    fn secret(&self, id: Ref) -> Reading<'_>;
}

/// A secret on its way out of the vault.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Sealed>, StorageError>> + Send + 'a>>;

/// The vault's id in a field's text.
pub fn id_of(seal: &str) -> Option<Ref> {
    Ref::parse_uuid(seal.split_once(':')?.0)
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

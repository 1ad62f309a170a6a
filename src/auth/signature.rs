//! The one signature that bearer tokens use, HMAC with SHA-256, for the token
//! library to call: its own selections bring dozens of packages for algorithms
//! that no token of ours may name.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::hmac;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key: &EncodingKey| Ok(Box::new(Sha256Key::new(algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key: &DecodingKey| Ok(Box::new(Sha256Key::new(algorithm, key.try_get_as_bytes()?)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Tells the token library how to sign; once a process, however often it is called.
pub fn provide() {
    // Refused where it was told before: there is no other provider to tell it of.
    let _told = PROVIDER.install_default();
}

struct Sha256Key(hmac::Key);

impl Sha256Key {
    fn new(algorithm: &Algorithm, secret: &[u8]) -> Result<Sha256Key, Error> {
        match algorithm {
            Algorithm::HS256 => Ok(Sha256Key(hmac::Key::new(hmac::HMAC_SHA256, secret))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

impl Signer<Vec<u8>> for Sha256Key {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Sha256Key {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, tag).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Sha256Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Sha256Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

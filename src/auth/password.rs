//! Passwords: argon2id hashes, computed where waiting does no harm.
//!
//! Must never know who a password belongs to, and never show one.

use crate::error::{ApiError, codes};
use crate::log::Sealed;
use crate::value::Ref;
use crate::world::{Ids, World};
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes computed at the same time; each takes some 19 MiB and a processor.
const AT_ONCE: usize = 2;
/// Callers that may wait for a hash; more are turned away.
const WAITING_MAX: usize = 256;
/// The longest password, in bytes.
pub const LENGTH_MAX: usize = 1024;
/// Characters of a generated password; six bits each.
const GENERATED: usize = 22;

/// A hash that no password has, of the parameters that all have: whoever does not exist is checked against it, so
/// that the time taken does not tell who exists.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXRoaW5nZWxzZQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password for somebody who was given none, to be shown once.
pub fn generate(world: &World) -> Zeroizing<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Zeroizing::new([0; GENERATED]);
    world.fill(&mut *bytes);
    Zeroizing::new(bytes.iter().map(|byte| DIGITS[usize::from(byte % 64)] as char).collect())
}

/// Hashes a password and seals the hash for the vault. Takes long: call it on a blocking thread, or at start.
pub fn seal(world: &World, password: &str) -> Result<Sealed, ApiError> {
    if password.is_empty() || password.len() > LENGTH_MAX {
        return Err(codes::CHANGE_PASSWORD_REJECTED("a password has 1 to 1024 bytes"));
    }
    let mut salt = [0; 16];
    world.fill(&mut salt);
    let salt = SaltString::encode_b64(&salt).expect("BUG: 16 bytes make a salt");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    let hash = hash.expect("BUG: the default parameters hash any password").to_string();
    let mut nonce = [0; 16];
    world.fill(&mut nonce);
    Ok(Sealed::new(fresh(world), nonce, hash.as_bytes()))
}

fn fresh(world: &World) -> Ref {
    Ids::new(world.seed()).draw()
}

/// Whether the password is the one hashed; the same work is done when there is no hash.
fn fits(hash: Option<&[u8]>, password: &str) -> bool {
    let text = hash.and_then(|hash| std::str::from_utf8(hash).ok()).unwrap_or(DECOY);
    let parsed = PasswordHash::new(text).or_else(|_| PasswordHash::new(DECOY));
    let parsed = parsed.expect("BUG: the decoy is a hash");
    let same = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    same && hash.is_some()
}

/// Computes hashes on blocking threads, a few at a time.
pub struct Hasher {
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher { permits: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) }
    }
}

impl Hasher {
    /// Checks a password against a sealed hash, or against nothing. `None` when too many wait already.
    pub async fn check(&self, sealed: Option<Sealed>, password: Zeroizing<String>) -> Option<bool> {
        self.run(move || fits(sealed.as_ref().map(|sealed| &**sealed.value), &password)).await
    }

    /// Hashes a new password.
    pub async fn seal(&self, world: &World, password: Zeroizing<String>) -> Result<Sealed, ApiError> {
        let world = world.clone();
        let sealed = self.run(move || seal(&world, &password)).await;
        sealed.unwrap_or_else(|| Err(codes::CHANGE_PASSWORD_REJECTED("too many wait; try again")))
    }

    /// Returns when nobody's hash is being computed.
    pub async fn idle(&self) {
        drop(self.permits.acquire_many(AT_ONCE as u32).await);
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _waiting = Waiting::enter(&self.waiting)?;
        let _permit = self.permits.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}

/// One caller's place among those waiting, given back when it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn enter(count: &AtomicUsize) -> Option<Waiting<'_>> {
        let place = Waiting(count);
        (count.fetch_add(1, Ordering::SeqCst) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits() {
        let world = World::simulated(0, 1);
        let sealed = seal(&world, "tomato").expect("hashed");
        assert!(fits(Some(&sealed.value), "tomato"));
        assert!(!fits(Some(&sealed.value), "tomatO"));
        assert!(!fits(Some(b"not a hash"), "tomato"));
        assert!(!fits(None, "tomato"));
        assert!(seal(&world, "").is_err());
        assert!(seal(&world, &"x".repeat(LENGTH_MAX + 1)).is_err());
    }

    #[test]
    fn the_decoy_costs_what_a_hash_costs() {
        let sealed = seal(&World::simulated(0, 1), "x").expect("hashed");
        let real = String::from_utf8(sealed.value.to_vec()).expect("text");
        let parameters = |text: &str| text.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(&real), parameters(DECOY));
        assert!(PasswordHash::new(DECOY).is_ok());
    }

    #[test]
    fn generated_passwords_differ() {
        let world = World::simulated(0, 1);
        let (one, other) = (generate(&world), generate(&world));
        assert_ne!(*one, *other);
        assert_eq!(one.len(), GENERATED);
    }
}

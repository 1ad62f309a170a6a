//! Bearer tokens, for HTTP resources: signed, short-lived, checked without a
//! look-up that could be forged. XenAPI's own calls use sessions.
//!
//! A token names its user and the password's seal at the time: a changed
//! password, or a user that is gone, ends every token issued before.
//!
//! The algorithm is this module's to say, never the token's. Where the key comes
//! from is `token_key`'s.

use super::sessions::principal;
use super::{Principal, signature};
use crate::error::{ApiError, codes};
use crate::model::user;
use crate::value::{Micros, Ref};
use crate::views::{Object, View};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long a token lives at most, in seconds: 12 hours.
pub const LIFETIME_MAX: i64 = 12 * 3600;
/// How far ahead an issuer's clock may be, in seconds.
const SKEW_MAX: i64 = 60;
/// The longest token that is looked at, in bytes.
const LENGTH_MAX: usize = 2048;
const ALGORITHM: Algorithm = Algorithm::HS256;
const ISSUER: &str = "xenledger";

/// What a token says. Nothing in it is secret.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The user's reference.
    sub: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    /// The beginning of SHA-256 of the password's seal.
    pwd: String,
}

/// Issues tokens and checks them, with one key.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Tokens {
    pub fn new(key: &[u8]) -> Tokens {
        signature::provide();
        Tokens { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key) }
    }

    /// A token for a user, for `seconds` or as long as tokens live.
    pub fn issue(&self, whose: &Object, seconds: i64, now: Micros) -> String {
        let now = now / 1_000_000;
        let claims = Claims {
            iss: ISSUER.into(),
            sub: whose.reference.to_string(),
            iat: now,
            exp: now + seconds.clamp(1, LIFETIME_MAX),
            pwd: password_mark(whose),
        };
        let header = Header::new(ALGORITHM);
        jsonwebtoken::encode(&header, &claims, &self.encoding).expect("BUG: claims are JSON and the key fits")
    }

    /// Who sends that token. Why it is refused is not told.
    pub fn authenticate(&self, view: &View, token: &str, now: Micros) -> Result<Arc<Principal>, ApiError> {
        let invalid = || codes::SESSION_INVALID("token");
        let claims = self.claims(token, now / 1_000_000).ok_or_else(invalid)?;
        let whose = Ref::parse(&claims.sub).and_then(|user| view.find::<user>(user)).ok_or_else(invalid)?;
        if password_mark(whose) != claims.pwd {
            return Err(invalid());
        }
        Ok(Arc::new(principal(view, whose, Ref::NULL)))
    }

    fn claims(&self, token: &str, now: i64) -> Option<Claims> {
        if token.len() > LENGTH_MAX {
            return None;
        }
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The library would ask the system's clock; time is the world's to tell.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?.claims;
        let lives = claims.iat <= now + SKEW_MAX && now < claims.exp && claims.exp - claims.iat <= LIFETIME_MAX;
        lives.then_some(claims)
    }
}

/// Changes with the password, tells nothing of it.
fn password_mark(whose: &Object) -> String {
    let digest = Sha256::digest(whose.get(user::password).as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::command::draft::{Draft, Fields};
    use serde_json::{Value as Json, json};

    pub const NOW: Micros = 1_800_000_000_000_000;
    const SECOND: Micros = 1_000_000;

    /// A view with one user, whose password has that seal.
    pub fn view_of(seal: &str) -> (View, Arc<Object>) {
        let principal = Principal::server("test");
        let base = View::default();
        let mut draft = Draft::new(&base, &principal, NOW, [1; 32]);
        let fields = Fields::<user>::new().with(user::short_name, "root").with(user::is_local_superuser, true);
        let reference = draft.create(fields.with(user::password, seal));
        let whose = draft.find::<user>(reference).expect("there");
        (draft.view().clone(), whose)
    }

    fn signed(header: &Header, claims: &Json, key: &[u8]) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key)).expect("signed")
    }

    /// Another algorithm than ours, rightly signed.
    fn signed_with_sha512(claims: &Json, key: &[u8]) -> String {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
        let parts = [json!({"alg": "HS512", "typ": "JWT"}), claims.clone()];
        let message = parts.map(|part| BASE64.encode(part.to_string())).join(".");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA512, key);
        format!("{message}.{}", BASE64.encode(ring::hmac::sign(&key, message.as_bytes())))
    }

    #[test]
    fn a_token_lives_until_it_expires() {
        let (tokens, (view, whose)) = (Tokens::new(&[7; 32]), view_of("a"));
        let token = tokens.issue(&whose, 3600, NOW);
        let principal = tokens.authenticate(&view, &token, NOW).expect("valid");
        assert_eq!(&*principal.name, "user/root");
        assert!(principal.roles.is_superuser());
        assert!(tokens.authenticate(&view, &token, NOW + 3599 * SECOND).is_ok());
        assert!(tokens.authenticate(&view, &token, NOW + 3600 * SECOND).is_err());
    }

    #[test]
    fn a_changed_password_ends_it() {
        let tokens = Tokens::new(&[7; 32]);
        let (view, whose) = view_of("a");
        let token = tokens.issue(&whose, 60, NOW);
        assert!(tokens.authenticate(&view, &token, NOW).is_ok());
        let (changed, _) = view_of("b");
        assert!(tokens.authenticate(&changed, &token, NOW).is_err());
        assert!(tokens.authenticate(&View::default(), &token, NOW).is_err());
    }

    #[test]
    fn what_was_not_signed_here_is_refused() {
        let (tokens, (view, whose)) = (Tokens::new(&[7; 32]), view_of("a"));
        let now = NOW / SECOND;
        let claims = json!({"iss": ISSUER, "sub": whose.reference.to_string(), "iat": now, "exp": now + 60,
            "pwd": password_mark(&whose)});
        let good = signed(&Header::new(ALGORITHM), &claims, &[7; 32]);
        assert!(tokens.authenticate(&view, &good, NOW).is_ok(), "the claims are right, so each refusal below is due");
        let refused = |token: &str, why: &str| {
            assert!(tokens.authenticate(&view, token, NOW).is_err(), "{why}");
        };
        refused(&signed(&Header::new(ALGORITHM), &claims, &[8; 32]), "another key");
        refused(&signed_with_sha512(&claims, &[7; 32]), "another algorithm");
        let mut long = claims.clone();
        long["exp"] = json!(now + LIFETIME_MAX + 1);
        refused(&signed(&Header::new(ALGORITHM), &long, &[7; 32]), "it would live too long");
        let mut other = claims.clone();
        other["iss"] = json!("somebody");
        refused(&signed(&Header::new(ALGORITHM), &other, &[7; 32]), "another issuer");
        let (header, rest) = good.split_once('.').expect("three parts");
        let (body, signature) = rest.split_once('.').expect("three parts");
        refused(&format!("{header}.{body}."), "no signature");
        // {"alg":"none","typ":"JWT"} and {"alg":"none"}
        refused(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}."), "no algorithm");
        refused(&format!("eyJhbGciOiJub25lIn0.{body}.{signature}"), "no algorithm, but a signature");
        refused(&format!("{good}x"), "something behind it");
        refused("", "nothing");
        refused(&"x".repeat(LENGTH_MAX + 1), "too long");
    }
}

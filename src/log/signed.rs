//! Signed checkpoints: the server's word that the log had this head.
//!
//! A checkpoint is a signed note in the text format of transparency logs
//! (C2SP tlog-checkpoint): origin, size, hash, then lines of ours, a blank
//! line, and an Ed25519 signature. The size is the position and the hash that
//! of its row: the log is a chain, not a tree. Whoever keeps a note elsewhere
//! can prove later that the log still contains that row, and so every row
//! before it. Must never know what an event means.

use super::Head;
use super::rows::Moment;
use crate::value::Micros;
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// The file in the data folder with the private key.
pub const KEY_FILE: &str = "checkpoint-key";
/// The file in the data folder with what a verifier needs.
pub const VERIFIER_FILE: &str = "checkpoint-key.pub";
/// The file in the data folder with the newest checkpoint.
pub const FILE: &str = "checkpoint";

const SEED_BYTES: usize = 32;
/// The kind of key, as signed notes count them.
const ED25519_KIND: u8 = 1;

/// Signs heads of one server's log.
pub struct Signer {
    key: Ed25519KeyPair,
}

impl Signer {
    /// The key in that file; a new one where there is none.
    pub fn open(file: &Path, world: &World) -> io::Result<Signer> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        match std::fs::read(file).map(Zeroizing::new) {
            Ok(kept) if kept.len() == SEED_BYTES => seed.copy_from_slice(&kept),
            Ok(_) => return Err(io::Error::other(format!("{} is no key: 32 bytes are expected", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                world.fill(&mut *seed);
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(file)?;
                file.write_all(&*seed)?;
                file.sync_all()?;
            }
            Err(error) => return Err(error),
        }
        Ok(Signer::of(&seed))
    }

    /// The signer with that seed.
    pub fn of(seed: &[u8; SEED_BYTES]) -> Signer {
        Signer { key: Ed25519KeyPair::from_seed_unchecked(seed).expect("BUG: a seed has 32 bytes") }
    }

    /// What a verifier needs, in the form of signed notes: `NAME+KEYID+KEY`.
    pub fn verifier(&self, origin: &str) -> String {
        let key = typed(self.key.public_key().as_ref());
        let id: String = key_id(origin, &key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{origin}+{id}+{}", BASE64.encode(key))
    }

    /// The signed checkpoint of a head.
    pub fn sign(&self, origin: &str, head: &Head) -> String {
        let text = body(origin, head);
        let mut signature = key_id(origin, &typed(self.key.public_key().as_ref())).to_vec();
        signature.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {origin} {}\n", BASE64.encode(signature))
    }
}

/// The text that is signed.
fn body(origin: &str, head: &Head) -> String {
    let time = jiff::Timestamp::from_microsecond(head.time).unwrap_or_default();
    let hash = BASE64.encode(head.hash);
    format!("{origin}\n{}\n{hash}\nlineage {}\ntime {time:.6}\n", head.position, head.lineage)
}

fn typed(key: &[u8]) -> Vec<u8> {
    [&[ED25519_KIND], key].concat()
}

/// The first four bytes of SHA-256(name ‖ newline ‖ kind ‖ key).
fn key_id(origin: &str, key: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(origin).chain_update(b"\n").chain_update(key).finalize();
    hash.first_chunk().copied().expect("BUG: a hash is longer than four bytes")
}

/// The name of a pool's log in its checkpoints.
pub fn origin(pool: &str) -> String {
    format!("xenledger/{pool}")
}

/// Checks a checkpoint's signature against `verifier`; gives the head that it vouches for.
pub fn read(checkpoint: &str, verifier: &str) -> Result<Head, String> {
    let (name, key) = parse_verifier(verifier).ok_or("the key is none: NAME+KEYID+KEY is expected")?;
    let (text, signatures) = checkpoint.split_once("\n\n").ok_or("it is no signed note: it has no blank line")?;
    let text = format!("{text}\n");
    let wanted = key_id(&name, &key);
    let signed = signatures.lines().filter_map(|line| parse_signature(line, &name, wanted));
    let public = UnparsedPublicKey::new(&ED25519, &key[1..]);
    if !signed.into_iter().any(|signature| public.verify(text.as_bytes(), &signature).is_ok()) {
        return Err(format!("no signature in it is by {name}"));
    }
    parse_body(&text, &name).ok_or_else(|| "it is signed, but it is no checkpoint of this program".into())
}

fn parse_verifier(text: &str) -> Option<(String, Vec<u8>)> {
    let mut parts = text.trim().splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, BASE64.decode(parts.next()?).ok()?);
    let expected: String = key_id(name, &key).iter().map(|byte| format!("{byte:02x}")).collect();
    (key.len() == 33 && key[0] == ED25519_KIND && id == expected).then(|| (name.to_string(), key))
}

fn parse_signature(line: &str, name: &str, wanted: [u8; 4]) -> Option<Vec<u8>> {
    let (signer, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let mut signature = BASE64.decode(signature).ok().filter(|_| signer == name)?;
    (signature.get(..4)? == wanted).then(|| signature.split_off(4))
}

fn parse_body(text: &str, name: &str) -> Option<Head> {
    let mut lines = text.lines();
    if lines.next()? != name {
        return None;
    }
    let position = lines.next()?.parse().ok()?;
    let hash = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
    let lineage = lines.next()?.strip_prefix("lineage ")?.parse().ok()?;
    let time = time_of(lines.next()?.strip_prefix("time ")?)?;
    Some(Head { lineage, position, time, hash })
}

fn time_of(text: &str) -> Option<Micros> {
    match Moment::parse(text, 0)? {
        Moment::Time(time) => Some(time),
        Moment::Position(_) => None,
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let mut out = std::fs::File::create(new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { lineage: u64::MAX, position: 42, time: 1_700_000_000_000_001, hash: [7; 32] };

    #[test]
    fn a_checkpoint_is_a_signed_note() {
        let signer = Signer::of(&[1; 32]);
        let origin = origin("pool");
        let note = signer.sign(&origin, &HEAD);
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[..2], ["xenledger/pool", "42"]);
        assert_eq!(lines[2], BASE64.encode([7; 32]));
        assert_eq!(lines[3..6], ["lineage 18446744073709551615", "time 2023-11-14T22:13:20.000001Z", ""]);
        assert!(lines[6].starts_with("— xenledger/pool ") && lines.len() == 7, "{note}");
        assert_eq!(read(&note, &signer.verifier(&origin)), Ok(HEAD));
    }

    #[test]
    fn what_is_not_signed_by_the_key_is_refused() {
        let signer = Signer::of(&[1; 32]);
        let (note, verifier) = (signer.sign("a", &HEAD), signer.verifier("a"));
        for (wrong, key) in [
            (note.replace("\n42\n", "\n43\n"), verifier.clone()),
            (note.replace("2023", "2024"), verifier.clone()),
            (note.replace("\n\n", "\n"), verifier.clone()),
            (note.replace("— a", "— b"), verifier.clone()),
            (note.clone(), Signer::of(&[2; 32]).verifier("a")),
            (note.clone(), signer.verifier("b")),
            (note.clone(), "a+b+c".into()),
        ] {
            assert!(read(&wrong, &key).is_err(), "{wrong}{key}");
        }
    }

    #[test]
    fn the_key_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, world) = (folder.path().join(KEY_FILE), World::simulated(0, 1));
        let first = Signer::open(&file, &world).expect("made").verifier("a");
        assert_eq!(Signer::open(&file, &world).expect("read").verifier("a"), first);
        std::fs::write(&file, b"short").expect("written");
        assert!(Signer::open(&file, &world).is_err());
    }
}

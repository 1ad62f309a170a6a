//! The key that bearer tokens are signed with: a file of the data folder, made
//! when it is first needed and replaced whole. With a new key every token from
//! before is refused.
//!
//! ```text
//!   .new written and synced ──▶ renamed, the folder synced ──▶ used
//!   a crash: the old key            the new one
//! ```
//!
//! Must never let the key out: not into a record, the log, or an answer.

use super::token::Tokens;
use crate::world::World;
use arc_swap::ArcSwap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The file's name in the data folder.
pub const FILE: &str = "token-key";
/// The key's length, in bytes: that of the hash.
const LENGTH: usize = 32;
/// For nobody else than the server.
const MODE: u32 = 0o600;

/// See the module.
pub struct TokenKey {
    file: PathBuf,
    world: World,
    current: ArcSwap<Tokens>,
    /// How often it was replaced since the start.
    replaced: AtomicU64,
    /// Held while the file changes.
    changing: Mutex<()>,
}

impl TokenKey {
    /// The key in that data folder; a new one where there is none.
    pub fn open(folder: &Path, world: &World) -> std::io::Result<TokenKey> {
        let file = folder.join(FILE);
        let tokens = match std::fs::read(&file).map(Zeroizing::new) {
            Ok(key) if key.len() == LENGTH => Tokens::new(&key),
            _ => make(&file, world)?,
        };
        let current = ArcSwap::from_pointee(tokens);
        Ok(TokenKey { file, world: world.clone(), current, replaced: AtomicU64::new(0), changing: Mutex::new(()) })
    }

    /// What issues tokens and checks them now.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.current.load_full()
    }

    /// Puts a new key in the old one's place. It is on disk before it is used: no crash brings the old one back.
    pub fn replace(&self) -> std::io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(make(&self.file, &self.world)?));
        self.replaced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Another number after every replacement: what a token let in before ends by it.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::SeqCst)
    }
}

/// A new key, durably in that file.
fn make(file: &Path, world: &World) -> std::io::Result<Tokens> {
    let mut key = Zeroizing::new([0; LENGTH]);
    world.fill(&mut *key);
    let new = file.with_extension("new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&new)?;
    written.write_all(&*key)?;
    written.sync_all()?;
    std::fs::rename(&new, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(Tokens::new(&*key))
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::{NOW, view_of};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_is_private_and_stays_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (world, (view, whose)) = (World::simulated(NOW, 1), view_of("a"));
        let opened = || TokenKey::open(folder.path(), &world).expect("opened");
        let key = opened();
        let token = key.tokens().issue(&whose, 60, NOW);
        assert!(opened().tokens().authenticate(&view, &token, NOW).is_ok());
        key.replace().expect("replaced");
        let other = key.tokens().issue(&whose, 60, NOW);
        for key in [key, opened()] {
            assert!(key.tokens().authenticate(&view, &token, NOW).is_err());
            assert!(key.tokens().authenticate(&view, &other, NOW).is_ok());
        }
        let mode = std::fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_cannot_be_written_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (world, (view, whose)) = (World::simulated(NOW, 1), view_of("a"));
        let key = TokenKey::open(folder.path(), &world).expect("opened");
        let token = key.tokens().issue(&whose, 60, NOW);
        std::fs::create_dir(folder.path().join("token-key.new")).expect("something in the way");
        key.replace().expect_err("no file");
        assert!(key.tokens().authenticate(&view, &token, NOW).is_ok());
        assert_eq!(key.replaced(), 0);
    }
}

//! Saved databases that sessions read: backups in a folder of the operator's
//! choice, and copies on disks. One is laid out in a folder of its own, checked
//! and folded on a thread of its own, and served as `serve --read-only` serves a
//! data folder.

use super::serve_past::{Borrowed, show};
use crate::driver::Driver;
use crate::error::{ApiError, codes};
use crate::gateway::databases::{Finding, Found, Source};
use crate::log::backup::lay_out;
use crate::log::folder::assert_room;
use crate::log::memory::MemoryLog;
use crate::log::sqlite::LogReader;
use crate::log::{Head, Port};
use crate::reconcile::config::image;
use crate::value::Ref;
use crate::views::past::with_session;
use crate::views::restore::folded;
use crate::views::{Object, View, store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of backups in the data folder, unless another is given.
pub const BACKUPS: &str = "backups";
/// Where what is open is laid out, in the data folder.
const OPEN: &str = "open";
/// The largest backup that is opened, in bytes: it is copied, so the disk has to hold it twice.
const BYTES_MAX: u64 = 4 << 30;
/// Objects in a saved database: they are all kept in memory.
const OBJECTS_MAX: usize = 1_000_000;

/// See the module.
pub struct Saved {
    backups: PathBuf,
    open: PathBuf,
    next: AtomicU64,
    driver: Arc<dyn Driver>,
    borrowed: Borrowed,
}

/// A folder that goes with whoever has it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a saved database's folder stays");
        }
    }
}

impl Saved {
    /// What an earlier run left open is removed: its sessions read nothing any more.
    pub fn new(data: &Path, backups: Option<&Path>, driver: Arc<dyn Driver>, borrowed: Borrowed) -> Saved {
        let open = data.join(OPEN);
        let _ = std::fs::remove_dir_all(&open);
        let backups = backups.map_or_else(|| data.join(BACKUPS), Path::to_path_buf);
        Saved { backups, open, next: AtomicU64::new(0), driver, borrowed }
    }

    /// The file of that name in the folder of backups. What is elsewhere is not there, whatever it is.
    fn backup(&self, name: &str) -> Result<PathBuf, ApiError> {
        let none = || codes::COULD_NOT_IMPORT_DATABASE("the server's folder of backups has no file of that name");
        let folder = self.backups.canonicalize().map_err(|_| none())?;
        let file = folder.join(name).canonicalize().map_err(|_| none())?;
        if file.starts_with(&folder) && file.is_file() { Ok(file) } else { Err(none()) }
    }

    async fn read(&self, file: PathBuf) -> Result<Found, ApiError> {
        let folder = self.open.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let work = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || work.block_on(read(&file, Folder(folder))));
        let read = read.await.map_err(|_| codes::INTERNAL_ERROR("the saved database could not be read"))?;
        let (view, reader, folder) = read.map_err(codes::COULD_NOT_IMPORT_DATABASE)?;
        let mut port = MemoryLog::behind(store::Mark::of(&view).head());
        let opened: Result<(u64, Head), _> = port.open().await;
        let (term, _) = opened.map_err(codes::INTERNAL_ERROR)?;
        let borrowed = self.borrowed.clone();
        Ok(Box::new(move |own: &Object| {
            let mut view = view;
            with_session(&mut view, own);
            let shown = show(view, (port, term), reader, borrowed);
            (shown.gateway.clone(), Box::new((shown, folder)))
        }))
    }
}

/// Lays a backup out and folds its log.
async fn read(file: &Path, folder: Folder) -> Result<(View, LogReader, Folder), String> {
    let text = |error: std::io::Error| error.to_string();
    let bytes = file.metadata().map_err(text)?.len();
    if bytes > BYTES_MAX {
        return Err(format!("it has {bytes} bytes; {BYTES_MAX} are the most"));
    }
    std::fs::create_dir_all(&folder.0).map_err(text)?;
    assert_room(&folder.0, 2 * bytes).map_err(|error| error.to_string())?;
    lay_out(file, &folder.0).await.map_err(|error| error.to_string())?;
    let reader = LogReader::open(&folder.0).await.map_err(|error| error.to_string())?;
    let view = folded(&reader, OBJECTS_MAX).await.map_err(|error| error.to_string())?;
    Ok((view, reader, folder))
}

impl Source for Saved {
    fn file<'a>(&'a self, name: &'a str) -> Finding<'a> {
        Box::pin(async move { self.read(self.backup(name)?).await })
    }

    fn disk<'a>(&'a self, view: &'a View, vdi: Ref) -> Finding<'a> {
        Box::pin(async move {
            let image = image(view, vdi).ok_or_else(|| codes::HANDLE_INVALID("VDI", vdi))?;
            self.read(self.driver.contents(&image).await?).await
        })
    }
}

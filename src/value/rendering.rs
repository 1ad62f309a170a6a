//! What many are given: written for the first of them, copied for the others,
//! and counted by whoever keeps it, so that he knows when it is too much.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes of renderings that somebody keeps.
pub type Weight = Arc<AtomicUsize>;

/// Bytes that are written once.
#[derive(Default)]
pub struct Rendering {
    bytes: OnceLock<Bytes>,
    weight: Option<Weight>,
}

impl Rendering {
    /// Counted there for as long as it lives.
    pub fn counted(weight: &Weight) -> Rendering {
        Rendering { bytes: OnceLock::new(), weight: Some(weight.clone()) }
    }

    pub fn get_or_write(&self, write: impl FnOnce(&mut Vec<u8>)) -> &Bytes {
        self.bytes.get_or_init(|| {
            let mut out = Vec::new();
            write(&mut out);
            if let Some(weight) = &self.weight {
                weight.fetch_add(out.len(), Ordering::Relaxed);
            }
            out.into()
        })
    }
}

impl Drop for Rendering {
    fn drop(&mut self) {
        if let (Some(weight), Some(bytes)) = (&self.weight, self.bytes.get()) {
            weight.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

/// What one value looks like on each wire, once somebody was given it.
#[derive(Default)]
pub struct Shared {
    pub json: Rendering,
    pub xml: Rendering,
}

impl Shared {
    /// Counted there for as long as it lives.
    pub fn counted(weight: &Weight) -> Shared {
        Shared { json: Rendering::counted(weight), xml: Rendering::counted(weight) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_once_is_counted_while_it_is_kept() {
        let weight = Weight::default();
        let shared = Shared::counted(&weight);
        for _ in 0..2 {
            shared.json.get_or_write(|out| out.extend([7; 100]));
        }
        shared.xml.get_or_write(|out| out.extend([7; 20]));
        assert_eq!(weight.load(Ordering::Relaxed), 120);
        drop(shared);
        assert_eq!(weight.load(Ordering::Relaxed), 0);
    }
}

//! What is on a simulated disk: no bytes, but for each part of it a stamp of the
//! last one who wrote there. Copies share stamps, so two disks differ where
//! their stamps do. A file that was put on it instead is named.

use crate::value::Ref;
use base64::Engine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Parts of a disk that are told apart.
const PARTS: usize = 64;
/// Parts that a guest writes to when it boots, beside the first.
const WRITTEN: usize = 3;
/// Bytes of one block of a bitmap.
pub const BLOCK: i64 = 64 << 10;

/// The stamps of a disk's parts; none: nobody ever wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stamps: Vec<u64>,
    /// Whether which blocks are written is to be known.
    #[serde(default)]
    pub tracked: bool,
    /// The file that was put on it, if nobody wrote since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Contents {
    /// With that file on the disk, or none.
    pub fn with_file(self, file: Option<String>) -> Contents {
        Contents { file, ..self }
    }

    /// After the guest of that stamp, which is no other guest's, wrote to the disk.
    pub fn written(mut self, disk: Ref, stamp: u64) -> Contents {
        self.file = None;
        self.stamps.resize(PARTS, 0);
        let places = Sha256::new().chain_update(disk.0).chain_update(stamp.to_be_bytes()).finalize();
        let places = std::iter::once(0).chain(places.iter().take(WRITTEN).map(|byte| usize::from(*byte) % PARTS));
        for place in places {
            if let Some(part) = self.stamps.get_mut(place) {
                *part = stamp;
            }
        }
        self
    }

    /// The blocks of `to`, which has so many bytes, that differ: a bitmap in base64, the first in the highest bit.
    pub fn changed(&self, to: &Contents, bytes: i64) -> String {
        let blocks = usize::try_from((bytes.max(0) + BLOCK - 1) / BLOCK).unwrap_or(usize::MAX);
        let stamp = |contents: &Contents, part: usize| contents.stamps.get(part).copied().unwrap_or(0);
        let mut bitmap = vec![0u8; blocks.div_ceil(8)];
        for part in (0..PARTS).filter(|part| stamp(self, *part) != stamp(to, *part)) {
            // A disk of few blocks has parts without any.
            let (first, last) = (part * blocks / PARTS, ((part + 1) * blocks).div_ceil(PARTS));
            for block in first..last {
                if let Some(byte) = bitmap.get_mut(block / 8) {
                    *byte |= 0x80 >> (block % 8);
                }
            }
        }
        base64::engine::general_purpose::STANDARD.encode(bitmap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(text: &str) -> u32 {
        let bitmap = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        bitmap.iter().map(|byte| byte.count_ones()).sum()
    }

    #[test]
    fn only_what_was_written_differs() {
        let disk = Ref([4; 16]);
        let first = Contents::default().written(disk, 1);
        let copy = first.clone();
        assert_eq!(first.changed(&copy, 1 << 30), first.changed(&first, 1 << 30));
        assert_eq!(bits(&first.changed(&copy, 1 << 30)), 0);
        let later = first.clone().written(disk, 2);
        let changed = bits(&first.changed(&later, 1 << 30)) as i64;
        let part = (1 << 30) / BLOCK / PARTS as i64;
        assert!((part..=part * (1 + WRITTEN as i64)).contains(&changed), "{changed} blocks");
        assert_eq!(changed % part, 0);
        assert_eq!(bits(&first.changed(&later, 1)), 1, "a disk of one block changes whole");
        assert_eq!(first.changed(&later, 0), "");
    }

    #[test]
    fn what_was_stored_before_there_were_contents_is_still_read() {
        let read: Contents = serde_json::from_str("{}").expect("readable");
        assert_eq!(read, Contents::default());
    }
}

//! Whether machines can boot securely: which keys are among the pool's UEFI
//! certificates, a tar archive in base64 with one file a key.

use crate::model::pool;
use crate::views::Object;
use base64::Engine;
use std::collections::BTreeSet;

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// A value of `pool_guest_secureboot_readiness`. Custom certificates replace those provided.
pub fn readiness(held: &Object) -> &'static str {
    let custom = held.get(pool::custom_uefi_certificates);
    let archive = if custom.is_empty() { held.get(pool::uefi_certificates) } else { custom };
    let files = base64::engine::general_purpose::STANDARD.decode(archive.trim()).map(|tar| files(&tar));
    let files = files.unwrap_or_default();
    let has = |key: &str| files.contains(&format!("{key}.auth"));
    match (["PK", "KEK", "db"].into_iter().all(has), has("dbx")) {
        (true, true) => "ready",
        (true, false) => "ready_no_dbx",
        (false, _) => "not_ready",
    }
}

/// The names of the files in an archive, without their folders.
fn files(tar: &[u8]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = tar;
    while let Some((header, contents)) = rest.split_at_checked(BLOCK) {
        let text = |from: usize, to: usize| {
            let bytes = header.get(from..to).unwrap_or_default();
            let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(bytes).trim().to_string()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 136), 8).unwrap_or(0));
        if name.is_empty() {
            break;
        }
        names.extend(name.rsplit('/').next().map(String::from));
        rest = contents.get(size.div_ceil(BLOCK).saturating_mul(BLOCK)..).unwrap_or_default();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;

    fn archive(names: &[&str]) -> String {
        let mut tar = Vec::new();
        for name in names {
            let mut header = vec![0; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(b"00000001001");
            tar.extend(header);
            tar.extend(vec![b'x'; 2 * BLOCK]); // 513 bytes take two blocks
        }
        tar.extend(vec![0; 2 * BLOCK]);
        base64::engine::general_purpose::STANDARD.encode(tar)
    }

    #[test]
    fn the_keys_in_the_archive_decide() {
        for (names, expected) in [
            (&["PK.auth", "KEK.auth", "./db.auth", "keys/dbx.auth"][..], "ready"),
            (&["PK.auth", "KEK.auth", "db.auth"], "ready_no_dbx"),
            (&["PK.auth", "dbx.auth", "db.auth"], "not_ready"),
            (&[], "not_ready"),
        ] {
            let mut bench = Bench::default();
            let provided = archive(names);
            let made = bench.given(|draft| draft.create(Fields::<pool>::new().with(pool::uefi_certificates, provided)));
            let held = bench.view.find::<pool>(made.as_ref()).expect("there").clone();
            assert_eq!(readiness(&held), expected, "{names:?}");
            let custom = archive(&["PK.auth"]);
            bench.call("pool.set_custom_uefi_certificates", vec![made.clone(), custom.into()]).expect("set");
            let held = bench.view.find::<pool>(made.as_ref()).expect("there").clone();
            assert_eq!(readiness(&held), "not_ready", "custom ones replace those provided");
        }
    }
}

//! Logs that released versions wrote: each folds to the state that was recorded when it was made, as it is and after this
//! version has opened it for writing. `tests/logs/make` makes the next one.

use crate::program::said;
use crate::server::left_out;
use std::path::Path;
use std::process::Command;
use xenledger::log::Port;
use xenledger::log::sqlite::SqliteLog;

/// What the reference says of the state's hash is enough to compute it in another language.
pub fn folded_elsewhere(data: &Path, expected: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/state.py");
    if !Command::new("python3").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return left_out("the state's hash in Python: there is no python3");
    }
    let model = data.with_file_name("model.json");
    std::fs::write(&model, said(data, &["model"])).expect("written");
    let told = Command::new("python3").arg(script).args([data, &model]).output().expect("it starts");
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), expected, "{errors}");
}

#[tokio::test]
async fn logs_of_released_versions_fold_to_the_recorded_state() {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let mut versions = 0;
    for entry in std::fs::read_dir(&logs).expect("tests/logs") {
        let version = entry.expect("readable").path();
        let packed = version.join("log.sqlite.zst");
        if !packed.exists() {
            continue;
        }
        versions += 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("made");
        let log = zstd::decode_all(std::fs::File::open(&packed).expect("the log")).expect("unpacked");
        std::fs::write(data.join("log.sqlite"), log).expect("written");
        let recorded = std::fs::read_to_string(version.join("state")).expect("the recorded state");
        assert_eq!(said(&data, &["log", "replay", "--state-hash"]).trim(), recorded.trim(), "{}", version.display());
        assert!(said(&data, &["log", "verify"]).ends_with("all is well\n"));
        folded_elsewhere(&data, recorded.trim());
        let mut port = SqliteLog::open(&data).await.expect("this version goes on with it");
        port.open().await.expect("open");
        drop(port);
        assert_eq!(said(&data, &["log", "replay", "--state-hash"]).trim(), recorded.trim(), "{}", version.display());
        said(&data, &["log", "archive", "--seal", "--keep-rows", "0"]);
        said(&data, &["log", "verify"]);
    }
    assert!(versions >= 1, "there is a log of each released version");
}

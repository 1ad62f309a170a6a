//! What our figures stand beside: other servers, started and loaded by the
//! package in `peers/`, which is built when it is first needed, or before the
//! disk is measured, and answers one line of JSON a run. A peer that is not
//! there is said to be not there.

use serde_json::{Map, Value as Json};
use std::path::Path;
use std::process::{Command, Stdio};

/// The figures of one run, by name; in error, why there are none.
pub type Figures = Result<Map<String, Json>, String>;

/// Builds the loaders, and waits until what was built is on the disk: who measures the disk behind it would measure that.
pub fn ready() {
    // Without them each row says why.
    let _ = built();
    rustix::fs::sync();
}

/// Runs one workload of one peer: `nats-fan subscribers=1000 …`.
pub fn run(folder: &Path, workload: &str, options: &[(&str, usize)]) -> Figures {
    let program = built()?;
    let mut command = Command::new(program);
    command.arg(workload).arg(folder).args(options.iter().map(|(name, value)| format!("{name}={value}")));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    let line: Json = serde_json::from_slice(&output.stdout).map_err(|_| format!("the loader of {workload} failed"))?;
    let Json::Object(figures) = line else { return Err(format!("{workload} answered no object")) };
    match figures.get("absent").and_then(Json::as_str) {
        Some(why) => Err(why.to_string()),
        None => Ok(figures),
    }
}

/// One figure of a run.
pub fn figure(figures: &Figures, name: &str) -> Option<f64> {
    figures.as_ref().ok()?.get(name)?.as_f64()
}

/// How a figure is shown, or why there is none.
pub fn shown(peer: &str, figures: &Figures, name: &str, unit: &str) -> String {
    match (figures, figure(figures, name)) {
        (Err(why), _) => format!("{peer}: {why}"),
        (Ok(_), Some(value)) if value >= 100.0 => format!("{peer} {value:.0}{unit}"),
        (Ok(_), Some(value)) => format!("{peer} {value:.1}{unit}"),
        (Ok(_), None) => format!("{peer}: not measured"),
    }
}

fn built() -> Result<&'static Path, String> {
    static BUILT: std::sync::OnceLock<Result<std::path::PathBuf, String>> = std::sync::OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--target-dir"]);
        let done = cargo.arg(&target).stdout(Stdio::null()).status();
        match done {
            Ok(status) if status.success() => Ok(target.join("release/xenledger-bench-peers")),
            _ => Err("the peers' loaders could not be built (tests/bench/install)".into()),
        }
    });
    built.as_deref().map_err(Clone::clone)
}

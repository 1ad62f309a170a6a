//! `xl`, as a child process: questions, and work.
//!
//! A question has its answer in a pipe and ends with whoever asked. Work may
//! outlive the server that began it, so it writes to a file of its own, which
//! is locked for as long as any of its processes lives, and which ends with the
//! exit status. Whoever comes later reads there how far it came:
//!
//! ```text
//!   no file    locked           not locked, with a status    not locked, without
//!   Nothing    Working          Ended                        Broken
//! ```
//!
//! Must never know what a command means.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a question may take.
pub const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Bytes of an answer, or of what work says, before it is ended for it.
pub const OUTPUT_MAX: u64 = 4 << 20;
/// Bytes at the end of what work said that are read.
const READ_MAX: u64 = 64 << 10;
/// How often work that nobody here began is looked at, and the size of what it says.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a process that was ended may take to be gone.
const END_WAIT: Duration = Duration::from_secs(10);

/// Before the exit status, on the last line of what work said.
const STATUS: &str = "\n[xl ended] ";
/// Runs the rest of its arguments and says how that ended.
const SCRIPT: &str = "\"$@\"; printf '\\n[xl ended] %s\\n' \"$?\"";

/// The way to `xl`.
pub struct Xl {
    program: PathBuf,
}

/// Why a command gave no result.
#[derive(Debug)]
pub enum Failure {
    /// It could not be begun, or not be read.
    Io(io::Error),
    /// It was ended, because of its time or of how much it said.
    Stuck(&'static str),
    /// It ended in failure, having said so.
    Said { status: i32, text: String },
}

/// What is left of work.
#[derive(Debug)]
pub enum Left {
    Nothing,
    Working,
    Ended(Result<String, Failure>),
    /// It ended without saying how: somebody ended it.
    Broken,
}

impl Xl {
    pub fn new(program: &Path) -> Xl {
        Xl { program: program.to_path_buf() }
    }

    /// The answer to a question, which changes nothing.
    pub async fn ask(&self, args: &[&str]) -> Result<String, Failure> {
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let answered = timeout(ANSWER_WAIT, async {
            let (out, err) = tokio::join!(read_pipe(out), read_pipe(err));
            Ok::<_, Failure>((out?, err?, child.wait().await?))
        });
        match answered.await {
            Ok(Ok((out, _, status))) if status.success() => Ok(out),
            Ok(Ok((out, err, status))) => Err(Failure::Said { status: code(status), text: out + &err }),
            Ok(Err(failure)) => {
                end_group(&child);
                Err(failure)
            }
            Err(_) => {
                end_group(&child);
                Err(Failure::Stuck("it did not answer in time"))
            }
        }
    }

    /// Works, saying what it says to `file`. Dropping this leaves it working; [`end`] ends it.
    pub async fn work<A: AsRef<OsStr>>(&self, file: &Path, args: &[A], limit: Duration) -> Result<String, Failure> {
        let told = begin_file(file, args)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(told.try_clone()?)
            .stderr(told)
            .process_group(0)
            .spawn()?;
        let watched = async {
            loop {
                tokio::select! {
                    ended = child.wait() => return ended.map(|_| ()).map_err(Failure::Io),
                    () = sleep(LOOK_EVERY) => {
                        if std::fs::metadata(file).is_ok_and(|about| about.len() > OUTPUT_MAX) {
                            return Err(Failure::Stuck("it said too much"));
                        }
                    }
                }
            }
        };
        let watched = timeout(limit, watched).await.unwrap_or(Err(Failure::Stuck("it did not end in time")));
        if let Err(failure) = watched {
            end(file).await;
            return Err(failure);
        }
        match left(file)? {
            Left::Ended(result) => result,
            _ => Err(Failure::Stuck("somebody ended it")),
        }
    }
}

/// What is left of the work that said what it said to `file`.
pub fn left(file: &Path) -> io::Result<Left> {
    let mut opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Nothing),
        Err(error) => return Err(error),
    };
    match opened.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(Left::Working),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    let length = opened.metadata()?.len();
    opened.seek(SeekFrom::Start(length.saturating_sub(READ_MAX)))?;
    let mut bytes = Vec::new();
    opened.take(READ_MAX).read_to_end(&mut bytes)?;
    let said = String::from_utf8_lossy(&bytes);
    let Some((text, status)) = said.rsplit_once(STATUS) else { return Ok(Left::Broken) };
    let text = text.split_once('\n').map_or("", |(_, rest)| rest).to_string();
    Ok(Left::Ended(match status.trim().parse() {
        Ok(0) => Ok(text),
        Ok(status) => Err(Failure::Said { status, text }),
        Err(_) => return Ok(Left::Broken),
    }))
}

/// Whether the work that said what it said to `file` was that command.
pub fn is(file: &Path, command: &str) -> bool {
    let mut first = Vec::new();
    let read = File::open(file).and_then(|file| file.take(4096).read_to_end(&mut first));
    read.is_ok() && String::from_utf8_lossy(&first).starts_with(&format!("$ xl {command} "))
}

/// Waits for work that an earlier server began.
pub async fn wait(file: &Path) -> io::Result<Left> {
    loop {
        match left(file)? {
            Left::Working => sleep(LOOK_EVERY).await,
            left => return Ok(left),
        }
    }
}

/// Ends the work that says what it says to `file`, whoever began it.
pub async fn end(file: &Path) {
    for _ in 0..(END_WAIT.as_millis() / LOOK_EVERY.as_millis()) {
        if !matches!(left(file), Ok(Left::Working)) {
            return;
        }
        for process in speakers(file) {
            // It may be gone already.
            rustix::process::kill_process(process, rustix::process::Signal::KILL).ok();
        }
        sleep(LOOK_EVERY).await;
    }
    tracing::warn!(file = %file.display(), "what was ended is still there");
}

/// The processes that say what they say to that file.
fn speakers(file: &Path) -> Vec<rustix::process::Pid> {
    let own = std::process::id() as i32;
    let Ok(file) = file.canonicalize() else { return Vec::new() };
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let speaks = |number: &i32| {
        let to = |stream: u8| std::fs::read_link(format!("/proc/{number}/fd/{stream}")).is_ok_and(|to| to == file);
        *number != own && (to(1) || to(2))
    };
    numbers.filter(speaks).filter_map(rustix::process::Pid::from_raw).collect()
}

/// Opens the file for new work: empty but for the command, and locked until the last process that has it ends.
fn begin_file<A: AsRef<OsStr>>(file: &Path, args: &[A]) -> Result<File, Failure> {
    let mut told = File::options().create(true).write(true).truncate(false).open(file)?;
    match told.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(Failure::Stuck("what was begun before is not over")),
        Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
    }
    told.set_len(0)?;
    let words = args.iter().map(|arg| arg.as_ref().to_string_lossy());
    writeln!(told, "$ xl {} ", words.collect::<Vec<_>>().join(" "))?;
    Ok(told)
}

async fn read_pipe(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_MAX + 1).read_to_end(&mut bytes).await?;
    }
    match bytes.len() as u64 > OUTPUT_MAX {
        true => Err(Failure::Stuck("it said too much")),
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn end_group(child: &Child) {
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
    if let Some(group) = group {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok(); // it may be gone already
    }
}

/// The exit status; what a signal ended counts as shells count it.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Io(error) => write!(f, "{error}"),
            Failure::Stuck(why) => f.write_str(why),
            Failure::Said { status, text } => write!(f, "status {status}: {}", text.trim()),
        }
    }
}

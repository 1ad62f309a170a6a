//! The command line: one file a subcommand.

pub mod archive;
pub mod arguments;
pub mod backup;
pub mod call;
pub mod changes;
pub mod checkpoint;
pub mod client;
pub mod databases;
pub mod list;
pub mod model;
pub mod past;
pub mod reference;
pub mod render;
pub mod seals;
pub mod serve;
pub mod serve_past;
pub mod show;
pub mod tasks;
pub mod trust;
pub mod verify;
pub mod watch;

pub use serve::LogFormat;

use crate::views::restore::told;
use indicatif::{ProgressBar, ProgressFinish};
use std::io::{IsTerminal, Write};

/// What to do.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Serve the XenAPI.
    Serve(serve::ServeArgs),
    /// Call one message and print its result.
    Call(call::CallArgs),
    /// Print changes as they happen; goes on where it stopped.
    Watch(watch::WatchArgs),
    /// See who subscribes and listens, and how far each is behind.
    #[command(subcommand)]
    Subscription(list::ListCommand),
    /// See who is logged in, and until when.
    #[command(subcommand)]
    Session(list::ListCommand),
    /// See what is under way, and what came of it.
    #[command(subcommand)]
    Task(list::ListCommand),
    /// Look into the log, whether a server is using it or not.
    #[command(subcommand)]
    Log(LogCommand),
    /// Print the data model as JSON, or how much of it works.
    Model(model::ModelArgs),
}

/// What to do with the log.
#[derive(clap::Subcommand, Debug)]
pub enum LogCommand {
    /// Check that the log is whole and that the views are what it says.
    Verify(verify::VerifyArgs),
    /// Print who did what, when, and what changed by it.
    Show(show::ShowArgs),
    /// Print each change of one object, or of one of its fields, with its author.
    History(past::HistoryArgs),
    /// Print what differs between two moments.
    Diff(past::DiffArgs),
    /// Sign the log's head.
    Checkpoint(checkpoint::CheckpointArgs),
    /// List the archives of the log, or seal more of it while no server runs.
    Archive(archive::ArchiveArgs),
    /// Write the whole log, its archives and the server's keys into one file, while the server runs or not.
    Backup(backup::BackupArgs),
    /// Make a data folder from a backup. The log goes on there as a new history: nothing told of the old one counts.
    Restore(backup::RestoreArgs),
    /// Write the views as they were at a moment, as JSON or as an SQLite file.
    Replay(past::ReplayArgs),
}

impl Command {
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Serve(args) if args.read_only => serve_past::run(&args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Call(args) => call::run(args).await,
            Command::Watch(args) => watch::run(args).await,
            Command::Subscription(command) => list::run(&list::SUBSCRIPTIONS, command).await,
            Command::Session(command) => list::run(&list::SESSIONS, command).await,
            Command::Task(command) => list::run(&list::TASKS, command).await,
            Command::Log(LogCommand::Verify(args)) => verify::run(args).await,
            Command::Log(LogCommand::Show(args)) => show::run(args).await,
            Command::Log(LogCommand::History(args)) => past::object_history(args).await,
            Command::Log(LogCommand::Diff(args)) => past::differences(args).await,
            Command::Log(LogCommand::Checkpoint(args)) => checkpoint::run(args).await,
            Command::Log(LogCommand::Archive(args)) => archive::run(args).await,
            Command::Log(LogCommand::Backup(args)) => backup::backup(args).await,
            Command::Log(LogCommand::Restore(args)) => backup::restore_backup(args).await,
            Command::Log(LogCommand::Replay(args)) => past::replay(args).await,
            Command::Model(args) => model::run(args).await,
        }
    }

    /// Whether it is the server, which tells more of what it does.
    pub fn serves(&self) -> bool {
        matches!(self, Command::Serve(_))
    }

    pub fn log_format(&self) -> LogFormat {
        match self {
            Command::Serve(args) => args.log_format,
            _ => LogFormat::Text,
        }
    }
}

/// What is shown while a view is rebuilt from the log: to people a bar, once it takes long enough to be seen, and to
/// whoever keeps what the server says a line now and then.
fn rebuilding() -> impl FnMut(u64, u64) {
    const AT_ONCE: u64 = 10_000;
    let (mut lines, mut bar, mut begun) = (told(), None::<ProgressBar>, None);
    let watched = std::io::stderr().is_terminal();
    move |position, end| {
        let begun = *begun.get_or_insert(position);
        if !watched {
            lines(position, end);
        } else if end.saturating_sub(begun) > AT_ONCE {
            let bar = bar.get_or_insert_with(|| verify::progress_bar(end).with_finish(ProgressFinish::AndClear));
            bar.set_position(position);
        }
    }
}

/// Prints a text and ends the line. Whoever stops reading, `head` for one, has read enough.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

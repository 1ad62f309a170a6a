//! The program: reads its arguments, sets up its own log, runs one command.

use clap::Parser;
use std::io::IsTerminal;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use xenledger::cli::{Command, LogFormat};
use xenledger::gateway::journal::JOURNAL;

/// Most of a call's time that is the server's own goes into small, short-lived pieces, made on one thread and dropped
/// on another: what the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A XenAPI server whose state is a log of events.
#[derive(Parser)]
#[command(name = "xenledger", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    trace(&arguments.command);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(arguments.command.run()));
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenledger: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The server's own log goes to standard error; `RUST_LOG` says how much.
fn trace(command: &Command) {
    let default = if command.serves() { "info" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal());
    let log = log.with_writer(std::io::stderr.and(&JOURNAL));
    match command.log_format() {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

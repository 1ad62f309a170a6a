//! The command line: one file a subcommand.

pub mod serve;

pub use serve::LogFormat;

/// What to do.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Serve the XenAPI.
    Serve(serve::ServeArgs),
}

impl Command {
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Serve(args) => serve::run(args).await,
        }
    }

    /// Whether it is the server, which tells more of what it does.
    pub fn serves(&self) -> bool {
        matches!(self, Command::Serve(_))
    }

    pub fn log_format(&self) -> LogFormat {
        match self {
            Command::Serve(args) => args.log_format,
        }
    }
}

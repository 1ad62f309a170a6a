//! The newest lines of the server's own log, kept in memory for
//! `host.get_log`. What is not logged to standard error is not here either.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// How much is kept, in bytes.
pub(super) const KEPT_MAX: usize = 64 * 1024;

/// The lines kept. There is one: the log it keeps is the process's.
pub struct Journal(Mutex<VecDeque<u8>>);

/// The server's own.
pub static JOURNAL: Journal = Journal(Mutex::new(VecDeque::new()));

impl Journal {
    /// What is kept, from the first whole line on.
    pub fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let cut = if bytes.len() < KEPT_MAX {
            0
        } else {
            bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        String::from_utf8_lossy(&bytes[cut..]).into_owned()
    }
}

/// Writes to the journal, for as long as one line is written.
pub struct Line<'a>(&'a Journal);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..surplus);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Journal {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_newest_whole_lines_are_kept() {
        let journal = Journal(Mutex::new(VecDeque::new()));
        writeln!(Line(&journal), "first").expect("memory is always written");
        assert_eq!(journal.text(), "first\n");
        for nth in 0..10_000 {
            writeln!(Line(&journal), "line {nth}").expect("memory is always written");
        }
        let text = journal.text();
        assert!(text.len() <= KEPT_MAX && text.starts_with("line ") && text.ends_with("line 9999\n"), "{text}");
    }
}

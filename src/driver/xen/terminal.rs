//! Consoles of machines: for one with a device model its screen, which that
//! shows over VNC on this host alone; for any other its text, which the
//! console daemon has on a pseudo-terminal. Whoever has one open shares it with
//! all others that do.
//!
//! Must never interpret what goes through.

use super::{Xen, mute};
use crate::driver::Terminal;
use crate::error::{ApiError, codes};
use crate::value::Ref;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

/// Where pseudo-terminals are: nothing else is opened, whatever xenstore says.
const TERMINALS: &str = "/dev/pts/";

impl Xen {
    pub(super) async fn open_terminal(&self, machine: Ref) -> Result<Terminal, ApiError> {
        let domain = self.living(machine).await?;
        let hvm = self.is_hvm(&domain).await?;
        let node = format!("/local/domain/{}/console/{}", domain.domid, if hvm { "vnc-port" } else { "tty" });
        let told = self.store.read(&node).await.map_err(mute)?;
        let absent = || codes::OPERATION_NOT_ALLOWED("the machine has no console that can be opened");
        if hvm {
            let port: u16 = told.and_then(|port| port.parse().ok()).ok_or_else(absent)?;
            return Ok(Box::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(mute)?));
        }
        let path = told.filter(|path| is_terminal(path)).ok_or_else(absent)?;
        Ok(Box::new(open(&path).map_err(mute)?))
    }
}

fn is_terminal(path: &str) -> bool {
    path.strip_prefix(TERMINALS).is_some_and(|number| number.parse::<u32>().is_ok())
}

/// A pseudo-terminal is opened once for each direction, and waited for as pipes are.
fn open(path: &str) -> io::Result<tokio::io::Join<pipe::Receiver, pipe::Sender>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let open = |write: bool| File::options().read(!write).write(write).custom_flags(flags).open(path);
    let (said, typed) = (open(false)?, open(true)?);
    Ok(tokio::io::join(pipe::Receiver::from_file_unchecked(said)?, pipe::Sender::from_file_unchecked(typed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_terminal_is_opened() {
        assert!(is_terminal("/dev/pts/3"));
        for other in ["", "/dev/pts/", "/dev/pts/../mem", "/dev/mem", "/dev/pts/3/x", "/dev/pts/-1"] {
            assert!(!is_terminal(other), "{other}");
        }
    }
}

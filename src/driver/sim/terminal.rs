//! The console of a simulated machine: it says whose it is, and says again
//! what is typed.

use tokio::io::{AsyncWriteExt, DuplexStream};

/// Bytes that are on their way at most.
const BUFFER: usize = 4096;

/// Both directions of the console; it ends with whoever opened it.
pub fn open(name: &str) -> DuplexStream {
    let (theirs, mut own) = tokio::io::duplex(BUFFER);
    let greeting = format!("{name} login: ");
    tokio::spawn(async move {
        let (mut typed, mut said) = tokio::io::split(&mut own);
        if said.write_all(greeting.as_bytes()).await.is_ok() {
            tokio::io::copy(&mut typed, &mut said).await.ok(); // whoever opened it is gone
        }
    });
    theirs
}

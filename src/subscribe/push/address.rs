//! Where a destination is, and whether the server may call there: a client
//! must not be able to make it talk to machines that the client cannot reach.
//!
//! A name is resolved once, the addresses that were found are checked, and one of
//! those is connected to: a name that answers differently the second time
//! changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What the configuration allows beyond HTTPS to public addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// This machine, its networks, and Unix sockets.
    pub private: bool,
    /// HTTP without TLS.
    pub plain: bool,
}

/// A destination, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    Http { tls: bool, host: String, port: u16, path: String },
    Unix(PathBuf),
}

impl Target {
    /// Reads a destination that the configuration allows; in error, why not.
    pub fn parse(destination: &str, allowed: Allowed) -> Result<Target, String> {
        if let Some(path) = destination.strip_prefix("unix:") {
            return match allowed.private {
                true => Ok(Target::Unix(PathBuf::from(path))),
                false => Err("sockets of this machine are not allowed by the configuration".into()),
            };
        }
        let uri: hyper::Uri = destination.parse().map_err(|_| "the destination is no URL".to_string())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allowed.plain => false,
            _ => return Err("only https is allowed by the configuration".into()),
        };
        let host = uri.host().ok_or("the destination names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_string();
        Ok(Target::Http { tls, host, port, path })
    }
}

/// The addresses of the host that may be called, in the order in which they are to be tried.
pub async fn resolve(host: &str, port: u16, allowed: Allowed) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| format!("{host}: {error}"))?;
    let (open, hidden): (Vec<_>, Vec<_>) = found.partition(|address| allowed.private || is_public(address.ip()));
    match (open.is_empty(), hidden.is_empty()) {
        (false, _) => Ok(open),
        (true, false) => Err(format!("{host} is at a private address, which is not allowed by the configuration")),
        (true, true) => Err(format!("{host} has no address")),
    }
}

/// Whether the address is anybody's, and not of this machine or of a network that is not the Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let measured = a == 198 && (18..20).contains(&b);
    let relays = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || protocols
        || measured
        || relays)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        // Addresses of version 4 in another form: what they lead to counts.
        (0, 0) if c == 0 && d == 0 && e == 0 && (f == 0xffff || f == 0) => f == 0xffff && is_public_v4(inner(g, h)),
        (0x64, 0xff9b) => c == 0 && is_public_v4(inner(g, h)),
        (0x2002, _) => is_public_v4(inner(b, c)),
        (0x2001, 0 | 0xdb8) => false,
        // Only what is given out at all.
        _ => (0x2000..0x4000).contains(&a),
    }
}

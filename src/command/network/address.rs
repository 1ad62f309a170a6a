//! Addresses as clients write them, checked before they are kept.

use crate::error::{ApiError, codes};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which kind of address is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Bits of an address.
    fn bits(self) -> u8 {
        if self == Family::V4 { 32 } else { 128 }
    }

    pub fn is_address(self, text: &str) -> bool {
        match self {
            Family::V4 => text.parse::<Ipv4Addr>().is_ok(),
            Family::V6 => text.parse::<Ipv6Addr>().is_ok(),
        }
    }
}

/// An address; `parameter` names it in the refusal.
pub fn assert_address(family: Family, parameter: &str, text: &str) -> Result<(), ApiError> {
    if family.is_address(text) { Ok(()) } else { Err(codes::INVALID_IP_ADDRESS_SPECIFIED(parameter)) }
}

/// An address with the length of its prefix: `10.0.0.2/24`.
pub fn assert_cidr(family: Family, parameter: &str, text: &str) -> Result<(), ApiError> {
    let parts = text.split_once('/').and_then(|(address, length)| Some((address, length.parse::<u8>().ok()?)));
    match parts {
        Some((address, length)) if family.is_address(address) && length <= family.bits() => Ok(()),
        _ => Err(codes::INVALID_CIDR_ADDRESS_SPECIFIED(parameter)),
    }
}

/// A netmask: ones, then zeros.
pub fn assert_netmask(parameter: &str, text: &str) -> Result<(), ApiError> {
    let mask = text.parse::<Ipv4Addr>().map(u32::from).map_err(|_| codes::INVALID_IP_ADDRESS_SPECIFIED(parameter))?;
    let whole = mask.leading_ones() + mask.trailing_zeros() == 32 || mask == u32::MAX;
    if whole { Ok(()) } else { Err(codes::INVALID_IP_ADDRESS_SPECIFIED(parameter)) }
}

/// Six pairs of hexadecimal digits.
pub fn assert_mac(text: &str) -> Result<(), ApiError> {
    let pairs: Vec<&str> = text.split(':').collect();
    let fits = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if pairs.len() == 6 && pairs.iter().all(fits) { Ok(()) } else { Err(codes::MAC_INVALID(text)) }
}

/// A locally administered address for one interface, from random bytes.
pub fn mac_from(mut bytes: [u8; 6]) -> String {
    bytes[0] = (bytes[0] | 0x02) & !0x01;
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

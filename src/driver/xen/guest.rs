//! What an agent in a guest tells, as the nodes that it writes: those of the
//! XenServer and XCP-ng guest utilities. A guest without an agent writes none
//! of them and tells nothing.
//!
//! | node | becomes |
//! |---|---|
//! | `attr/PVAddons/{MajorVersion,MinorVersion,MicroVersion,BuildVersion}` | `PV_drivers_version` |
//! | `data/os_{name,distro,majorver,minorver,uname}` | `os_version` |
//! | `attr/vif/N/{ipv4,ipv6}/M` | `networks`: `N/ipv4/M`, and the first IPv4 as `N/ip` |
//! | `control/feature-*` | `other` |

use super::xenstore::Xenstore;
use crate::driver::observation::Guest;
use std::io;

/// Interfaces, and addresses of one, that are told: a guest writes what it likes.
const INTERFACES_MAX: usize = 16;
const ADDRESSES_MAX: usize = 16;
/// Bytes of one value.
const VALUE_MAX: usize = 256;

const VERSION: [(&str, &str); 4] =
    [("MajorVersion", "major"), ("MinorVersion", "minor"), ("MicroVersion", "micro"), ("BuildVersion", "build")];
const SYSTEM: [(&str, &str); 5] = [
    ("os_name", "name"),
    ("os_distro", "distro"),
    ("os_majorver", "major"),
    ("os_minorver", "minor"),
    ("os_uname", "uname"),
];
const FEATURES: [&str; 4] = ["feature-shutdown", "feature-suspend", "feature-balloon", "feature-reboot"];

/// What the agent in that domain tells; `None` while there is none.
pub async fn read(store: &Xenstore, domid: i64) -> io::Result<Option<Guest>> {
    let own = format!("/local/domain/{domid}");
    let mut paths: Vec<String> = SYSTEM.iter().map(|(node, _)| format!("{own}/data/{node}")).collect();
    paths.extend(VERSION.iter().map(|(node, _)| format!("{own}/attr/PVAddons/{node}")));
    paths.extend(FEATURES.iter().map(|node| format!("{own}/control/{node}")));
    let values = store.read_all(&paths).await?;
    let (system, rest) = values.split_at(SYSTEM.len());
    let (version, features) = rest.split_at(VERSION.len());
    if system.iter().chain(version).all(Option::is_none) {
        return Ok(None);
    }
    let named = |names: &[(&str, &str)], values: &[Option<String>]| {
        let there =
            names.iter().zip(values).filter_map(|((_, name), value)| Some((name.to_string(), clean(value.as_ref()?))));
        there.collect()
    };
    let mut guest = Guest { os_version: named(&SYSTEM, system), drivers: named(&VERSION, version), ..Guest::default() };
    let there =
        FEATURES.iter().zip(features).filter_map(|(name, value)| Some((name.to_string(), clean(value.as_ref()?))));
    guest.other = there.collect();
    addresses(store, &own, &mut guest).await?;
    Ok(Some(guest))
}

async fn addresses(store: &Xenstore, own: &str, guest: &mut Guest) -> io::Result<()> {
    for number in plain(store.list(&format!("{own}/attr/vif")).await?, INTERFACES_MAX) {
        for family in ["ipv4", "ipv6"] {
            let node = format!("{own}/attr/vif/{number}/{family}");
            let names = plain(store.list(&node).await?, ADDRESSES_MAX);
            let paths: Vec<String> = names.iter().map(|name| format!("{node}/{name}")).collect();
            for (name, value) in names.iter().zip(store.read_all(&paths).await?) {
                let Some(address) = value.map(|value| clean(&value)).filter(|value| !value.is_empty()) else {
                    continue;
                };
                if family == "ipv4" {
                    guest.networks.entry(format!("{number}/ip")).or_insert_with(|| address.clone());
                }
                guest.networks.insert(format!("{number}/{family}/{name}"), address);
            }
        }
    }
    Ok(())
}

/// Names that are numbers, in order, and no more than so many.
fn plain(names: Vec<String>, most: usize) -> Vec<u32> {
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.truncate(most);
    numbers
}

fn clean(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(VALUE_MAX).collect()
}

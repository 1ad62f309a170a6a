//! The rows of the table, by group. A group starts its own servers, so that
//! it can be run alone.

mod crowds;
mod memory;
mod mutations;
mod reads;
mod restart;
mod streams;
mod waking;
mod webhooks;

use super::Bench;

/// In the table's order.
pub const GROUPS: &[&str] = &["mutations", "reads", "waking", "crowds", "streams", "memory", "webhooks", "restart"];

pub async fn measure(bench: &mut Bench, group: &str) {
    match group {
        "mutations" => mutations::rows(bench).await,
        "reads" => reads::rows(bench).await,
        "waking" => waking::rows(bench).await,
        "crowds" => crowds::rows(bench).await,
        "streams" => streams::rows(bench).await,
        "memory" => memory::rows(bench).await,
        "webhooks" => webhooks::rows(bench).await,
        "restart" => restart::rows(bench).await,
        _ => unreachable!("BUG: the group is in the list"),
    }
}

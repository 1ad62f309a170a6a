//! The domains there are, as `xl list -v` tells: one line each.
//!
//! ```text
//!   Name   ID   Mem VCPUs State  Time(s)  UUID  Reason-Code  Security Label
//!   web-1   3   512     1 -b----     3.4  …     -            -
//! ```
//!
//! Names may hold blanks, so a line is read from its uuid. The fifth letter of
//! the state says why a domain ended (`-rscwS`): the reason code says the same
//! as a number.
//!
//! A list takes `xl` a tenth of a second, and many want one at the same time:
//! each guest that is asked to end is looked at until it has. So one list is
//! everybody's who asked before it began.
//!
//! ```text
//!   asks ──▶ waits for the list that is being made ──▶ has the next: makes it, or whoever was before him
//! ```

use crate::driver::observation::{Ended, Power};
use crate::error::ApiError;
use crate::value::Ref;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// What [`Listing::get`] gives.
pub type Listed = Result<Vec<Domain>, ApiError>;

/// The newest list, for all who asked before it began.
#[derive(Default)]
pub struct Listing {
    /// Counts who asks and what begins, in the order in which they do.
    clock: AtomicU64,
    newest: Mutex<Option<(u64, Listed)>>,
}

impl Listing {
    /// A list that begins after this was called: by `list`, if nobody else makes one.
    pub async fn get(&self, list: impl Future<Output = Listed>) -> Listed {
        let asked = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest.lock().await;
        if let Some((began, listed)) = &*newest
            && *began > asked
        {
            return listed.clone();
        }
        let began = self.clock.fetch_add(1, Ordering::Relaxed);
        let listed = list.await;
        *newest = Some((began, listed.clone()));
        listed
    }
}

/// A domain as the hypervisor tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub domid: i64,
    pub uuid: Ref,
    pub name: String,
    /// Bytes.
    pub memory: i64,
    pub vcpus: i64,
    pub paused: bool,
    /// It ended, and this is the letter that says how; it stays until somebody destroys it.
    pub ended: Option<char>,
    /// It is being taken away.
    pub dying: bool,
}

impl Domain {
    /// It runs, or would if it were not paused.
    pub fn lives(&self) -> bool {
        self.ended.is_none() && !self.dying
    }

    pub fn power(&self) -> Power {
        match self.ended {
            Some('r') => Power::Ended(Ended::Reboot),
            Some('c' | 'w') => Power::Ended(Ended::Crash),
            Some(_) => Power::Ended(Ended::PowerOff),
            None if self.paused => Power::Paused,
            None => Power::Running,
        }
    }
}

/// Reads the lines; a line that is none of these is left out.
pub fn parse(listed: &str) -> Vec<Domain> {
    listed.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Domain> {
    let (at, uuid) = line.char_indices().find_map(|(at, _)| {
        let text = line.get(at..at + 36)?;
        let before = line[..at].chars().next_back()?;
        Some((at, Ref::parse_uuid(text).filter(|_| before == ' ')?))
    })?;
    let mut columns = line[..at].split_whitespace().rev();
    let _seconds: f64 = columns.next()?.parse().ok()?;
    let state: Vec<char> = columns.next()?.chars().collect();
    let vcpus = columns.next()?.parse().ok()?;
    let mib: i64 = columns.next()?.parse().ok()?;
    let domid: i64 = columns.next()?.parse().ok()?;
    let [.., paused, shut_down, reason, dying] = state[..] else { return None };
    let id = line[..at].trim_end();
    let name = id.rsplit_once(char::is_whitespace); // the time, and so on, to the left
    let name = (0..4).fold(name, |left, _| left.and_then(|(rest, _)| rest.trim_end().rsplit_once(char::is_whitespace)));
    Some(Domain {
        domid,
        uuid,
        name: name.map(|(name, _)| name.trim_end()).unwrap_or_default().to_string(),
        memory: mib << 20,
        vcpus,
        paused: paused == 'p',
        ended: (shut_down == 's').then_some(reason),
        dying: dying == 'd',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from Xen 4.17; the third line is made up of what others told.
    const LISTED: &str = include_str!("recorded/list-v.txt");

    #[test]
    fn every_domain_is_read() {
        let all = parse(LISTED);
        assert_eq!(all.len(), 7, "{all:#?}");
        let named: Vec<(&str, i64, i64)> =
            all.iter().map(|domain| (&*domain.name, domain.domid, domain.memory >> 20)).collect();
        assert_eq!(named[..3], [("Domain-0", 0, 1024), ("a b-1", 1, 96), ("web-1-11112222", 2, 512)]);
        assert_eq!(all[1].uuid.uuid_text(), "11111111-2222-4333-8444-555555555555");
        assert_eq!(all[2].vcpus, 2);
    }

    #[test]
    fn letters_say_what_a_domain_does() {
        let power: Vec<Power> = parse(LISTED).iter().map(Domain::power).collect();
        let expected = [
            Power::Running,
            Power::Running,
            Power::Paused,
            Power::Ended(Ended::PowerOff),
            Power::Ended(Ended::Reboot),
            Power::Ended(Ended::Crash),
            Power::Running,
        ];
        assert_eq!(power, expected);
        assert!(!parse(LISTED)[6].lives(), "it is being taken away");
    }

    #[tokio::test]
    async fn who_asks_while_others_are_told_shares_the_next_list() {
        let (listing, lists, gate) = (Listing::default(), AtomicU64::new(0), tokio::sync::Notify::new());
        let list = async || {
            lists.fetch_add(1, Ordering::Relaxed);
            Ok(parse(LISTED))
        };
        let first = listing.get(async {
            gate.notified().await;
            list().await
        });
        // In this order: one makes a list, the others ask meanwhile, then it is made.
        let others = futures_util::future::join_all((0..10).map(|_| listing.get(list())));
        let (first, others, ()) = tokio::join!(first, others, async { gate.notify_one() });
        assert_eq!(lists.load(Ordering::Relaxed), 2, "theirs began after they had asked");
        assert!(others.iter().all(|other| *other == first));
        listing.get(list()).await.expect("listed");
        assert_eq!(lists.load(Ordering::Relaxed), 3, "who asks later is told what is so later");
    }

    #[tokio::test]
    async fn who_stops_waiting_for_his_list_holds_up_nobody() {
        let listing = Listing::default();
        let mut stuck = Box::pin(listing.get(std::future::pending()));
        assert!(futures_util::poll!(&mut stuck).is_pending());
        drop(stuck);
        assert_eq!(listing.get(async { Ok(parse(LISTED)) }).await.expect("listed").len(), 7);
    }

    #[test]
    fn nonsense_is_no_domain() {
        assert_eq!(parse("Name  ID\nx\n\n  11111111-2222-4333-8444-555555555555\n"), []);
    }
}

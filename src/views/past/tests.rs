//! The past, on a log in memory with a pool that a few commands changed.

use super::filter::{Filter, Outcome};
use super::*;
use crate::log::memory::MemoryLog;
use crate::log::{Appended, Port, VaultChanges};
use crate::model::VM;
use crate::value::Value;
use crate::views::check::difference;
use crate::views::fold;
use crate::views::store::tests::{change, sample, world};

/// A log with the sample and a few changes of one machine's name; the view behind each row.
async fn written() -> (MemoryLog, Vec<View>, Ref) {
    let mut log = MemoryLog::new();
    let (_, _) = log.open().await.expect("open");
    let (mut view, world) = (View::default(), world());
    let mut rows = sample(&mut view, &world);
    let vm = view.all::<VM>().next().expect("a machine").reference;
    for name in ["a", "b", "c"] {
        rows.push(change(&mut view, &world, move |draft| draft.set(vm, VM::name_label, name)));
    }
    let mut views = vec![View::default()];
    for row in &rows {
        let mut next = views[views.len() - 1].clone();
        fold(&mut next, &row.event().expect("readable"));
        next.hash = row.hash;
        views.push(next);
    }
    let appended = log.append(1, 0, rows, VaultChanges::default()).await;
    assert!(matches!(appended, Appended::Done), "{appended:?}");
    (log, views, vm)
}

#[tokio::test]
async fn any_position_comes_back_as_it_was() {
    let (log, views, _) = written().await;
    let past = Past::new(log);
    let present = Arc::new(views[views.len() - 1].clone());
    for position in (0..views.len()).rev().chain([3, 20, 1]) {
        let view = past.at(Moment::Position(position as u64), present.clone()).await.expect("it is there");
        assert_eq!(view.state_hash(), views[position].state_hash(), "at {position}");
        assert_eq!((view.position, view.hash), (views[position].position, views[position].hash));
        assert_eq!(difference(&view, &views[position]), None);
    }
    let future = past.at(Moment::Position(views.len() as u64), present.clone()).await;
    assert!(matches!(future, Err(Lost::Future { .. })));
    let now = past.at(Moment::Time(i64::MAX), present.clone()).await.expect("the present");
    assert_eq!(now.position, present.position);
}

#[tokio::test]
async fn what_is_near_is_reached_from_the_present() {
    let (log, views, vm) = written().await;
    let head = views.len() - 1;
    for (position, expected) in views.iter().enumerate() {
        let back = backward(&log, views[head].clone(), position as u64, |_| {}).await.expect("read");
        assert!(diff::diff(&back, expected).is_empty(), "at {position}");
        assert_eq!((back.position, back.hash, back.time), (expected.position, expected.hash, expected.time));
        let counts = |view: &View| view.counts().collect::<Vec<_>>();
        assert_eq!(counts(&back), counts(expected));
    }
    let past = Past::new(log);
    let present = Arc::new(views[head].clone());
    let near = past.near(Moment::Position(head as u64 - 1), present.clone()).await.expect("it is there");
    assert_eq!(&**near.find::<VM>(vm).expect("there").get(VM::name_label), "b");
    assert!(past.kept.lock().await.is_empty(), "what is not exact is not gone on from");
    let future = past.near(Moment::Position(head as u64 + 1), present).await;
    assert!(matches!(future, Err(Lost::Future { .. })));
}

#[tokio::test]
async fn a_field_tells_who_changed_it() {
    let (log, views, vm) = written().await;
    let head = views.len() as u64 - 1;
    let events = history(&log, ClassId::VM, vm, Some(VM::name_label.index), 0, 100).await.expect("read");
    let last: Vec<u64> = events.iter().rev().take(3).map(|event| event.position).collect();
    assert_eq!(last, [head, head - 1, head - 2]);
    assert!(events.iter().all(|event| event.body.changes.len() == 1));
    let told = tell::change(&events[events.len() - 1].body.changes[0]);
    let name = told.as_map()["fields"].as_map()["name_label"].clone();
    assert_eq!(name, Value::map([("old", "b".into()), ("new", "c".into())]));
    let few = history(&log, ClassId::VM, vm, None, head - 2, 1).await.expect("read");
    assert_eq!(few.iter().map(|event| event.position).collect::<Vec<_>>(), [head - 1]);
}

#[tokio::test]
async fn two_moments_are_compared() {
    let (_, views, vm) = written().await;
    let head = views.len() - 1;
    let found = diff::diff(&views[head - 2], &views[head]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].class, found[0].reference, found[0].operation()), (ClassId::VM, vm, "mod"));
    assert_eq!(found[0].fields(), [("name_label", "a".into(), "c".into())]);
    assert!(diff::diff(&views[head], &views[head]).is_empty());
    let all = diff::diff(&views[0], &views[head]);
    assert_eq!(all.len(), views[head].counts().map(|(_, count)| count).sum::<usize>());
    assert!(all.iter().all(|one| one.operation() == "add"));
    assert!(diff::diff(&views[head], &views[0]).iter().all(|one| one.operation() == "del"));
}

#[tokio::test]
async fn filters_find_the_same_forward_and_back() {
    let (log, views, vm) = written().await;
    let head = views.len() as u64 - 1;
    let view = &views[views.len() - 1];
    let filter = |parts: &[(&str, &str)]| {
        let mut filter = Filter::default();
        for (name, text) in parts {
            filter.set(name, text, view, 0).expect("a filter");
        }
        filter
    };
    let since = (head - 2).to_string();
    let last = [("class", "VM"), ("object", "c"), ("since", &*since), ("outcome", "done"), ("kind", "change")];
    for (parts, expected) in [
        (&last[..], vec![head - 2, head - 1, head]),
        (&[("since", &*since), ("until", &*since)], vec![head - 2]),
        (&[("principal", "nobody")], vec![]),
        (&[("outcome", "refused")], vec![]),
    ] {
        let filter = filter(parts);
        let newest = filter.newest(&log, 100).await.expect("read");
        assert_eq!(newest.iter().map(|event| event.position).collect::<Vec<_>>(), expected, "{parts:?}");
        let start = filter.start(&log).await.expect("a start");
        let (page, _) = filter.page(&log, start).await.expect("read").unwrap_or_default();
        assert_eq!(page, newest, "{parts:?}");
    }
    assert_eq!(filter(&[]).newest(&log, 2).await.expect("read").len(), 2);
    assert!(Filter::default().set("object", "nothing", view, 0).is_err());
    assert!(Filter::default().set("outcome", "nothing", view, 0).is_err());
    assert_eq!(Outcome::of(&history(&log, ClassId::VM, vm, None, 0, 1).await.expect("read")[0]), Outcome::Done);
}

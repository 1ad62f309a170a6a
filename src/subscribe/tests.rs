//! Who is woken, when, and who else has his turn meanwhile.

use super::*;
use crate::event::{Body, Event, Kind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A change of one machine.
fn change(position: u64) -> Arc<Published> {
    let view = |position| {
        let mut view = View::default();
        view.position = position;
        Arc::new(view)
    };
    let event = Event {
        kind: Kind::Change,
        lineage: 1,
        term: 1,
        position,
        time: 0,
        principal: "test".into(),
        message: "test".into(),
        request: "".into(),
        cause: 0,
        body: Body::default(),
    };
    let effect = Effect { class: ClassId::VM, reference: Ref([1; 16]), before: None, after: None, fields: Vec::new() };
    let events = vec![(Arc::new(event), vec![effect])];
    Arc::new(Published { before: view(position - 1), view: view(position), events, bytes: 0 })
}

/// Lets everything run that can.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn others_have_their_turn_while_many_are_woken() {
    const CROWD: usize = 8 * WOKEN_AT_ONCE;
    let subscribers = Subscribers::default();
    let running = tokio::spawn(subscribers.clone().run());
    let told = Arc::new(AtomicUsize::new(0));
    for _ in 0..CROWD {
        let (waiter, told) = (subscribers.register(vec![Key::Any]), told.clone());
        tokio::spawn(async move {
            waiter.woken().await;
            told.fetch_add(1, Ordering::Relaxed);
        });
    }
    settle().await;
    let _following = subscribers.follow();
    let remembered = || subscribers.recent(0).map_or(0, |batches| batches.len());
    subscribers.publish(change(1));
    let (mut before, mut most) = (0, 0);
    while before < CROWD {
        tokio::task::yield_now().await;
        let now = told.load(Ordering::Relaxed);
        match (before, now) {
            (0, 1..) => subscribers.publish(change(2)),
            (_, CROWD) => assert_eq!(remembered(), 2, "what came meanwhile was remembered meanwhile"),
            _ => {}
        }
        (before, most) = (now, most.max(now - before));
    }
    assert!(most <= (PARTS_MAX + 1) * WOKEN_AT_ONCE, "{most} between two turns of somebody else");
    running.abort();
}

#[test]
fn nothing_is_kept_of_who_does_not_wait_any_more() {
    let subscribers = Subscribers::default();
    let keys = || vec![Key::Any, Key::Field(ClassId::VM, 1), Key::Object(ClassId::VM, Ref([1; 16]))];
    let (first, second) = (subscribers.register(keys()), subscribers.register(keys()));
    drop(first);
    let mut waking = VecDeque::new();
    locked(&subscribers.0.waiters).concerned(&change(1), &mut waking);
    assert_eq!(waking.len(), 1, "once for all its keys");
    assert_eq!(subscribers.awaited(ClassId::VM).len(), 1);
    drop(second);
    let waiters = locked(&subscribers.0.waiters);
    assert!(waiters.by_key.is_empty() && waiters.by_field == 0);
}

#[test]
fn who_is_to_be_woken_already_is_woken_once_for_all_that_arrived() {
    let subscribers = Subscribers::default();
    let waiters: Vec<_> = [Key::Any, Key::Class(ClassId::VM)]
        .into_iter()
        .cycle()
        .take(2 * FEW)
        .map(|key| subscribers.register(vec![key]))
        .collect();
    let mut waking = VecDeque::new();
    let mut arrive = |position| {
        subscribers.publish(change(position));
        while subscribers.take(&mut waking) {}
        (waking.len(), waking.pop_front())
    };
    let (queued, first) = arrive(1);
    assert_eq!(queued, waiters.len());
    let (queued, second) = arrive(2);
    assert_eq!(queued, waiters.len() - 1, "the first being on its way");
    [first, second].into_iter().flatten().for_each(|waiting| waiting.wake());
    assert_eq!(arrive(3).0, waiters.len(), "who was woken is woken again");
}

#[tokio::test]
async fn a_few_are_woken_by_the_writer() {
    let subscribers = Subscribers::default();
    let waiters: Vec<Waiter> = (0..FEW).map(|_| subscribers.register(vec![Key::Class(ClassId::VM)])).collect();
    let other = subscribers.register(vec![Key::Class(ClassId::network)]);
    subscribers.publish(change(1)); // nobody runs the publisher
    for waiter in &waiters {
        waiter.woken().await;
    }
    let crowd = subscribers.register(vec![Key::Any]);
    subscribers.publish(change(2));
    let mut waking = VecDeque::new();
    while subscribers.take(&mut waking) {}
    assert_eq!(waking.len(), FEW + 1, "of the second batch alone");
    drop((crowd, other));
}

#[test]
fn what_is_rendered_of_recent_batches_is_bounded() {
    let subscribers = Subscribers::default();
    let _following = subscribers.follow();
    let kept = |after| subscribers.recent(after).map(|batches| batches.len());
    (1..=3).for_each(|position| subscribers.publish(change(position)));
    assert_eq!(kept(0), Some(3));
    let rendered = locked(&subscribers.0.recent).rendered.clone();
    rendered.fetch_add(recent::RENDERED_MAX + 1, Ordering::Relaxed);
    subscribers.publish(change(4));
    assert_eq!((kept(3), kept(4)), (None, Some(0)), "who is behind is served from the log");
    rendered.store(0, Ordering::Relaxed);
    subscribers.publish(change(5));
    assert_eq!(kept(4), Some(1));
}

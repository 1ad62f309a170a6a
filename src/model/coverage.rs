//! How much of the model is served, class by class: counted from the tables
//! and from what is said to become of each message.

use super::export::{Served, Status};
use super::{CLASSES, Class, Lifecycle, MODEL, Message};
use serde_json::{Value as Json, json};
use std::iter::Sum;

/// What there is, and what of it works.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub fields: usize,
    pub messages: usize,
    pub working: usize,
    /// Messages that no field or class implies, published or deprecated: each needed code of its own, or a reason.
    pub declared: usize,
    pub declared_working: usize,
}

impl Counts {
    pub fn refused(&self) -> usize {
        self.messages - self.working
    }

    pub fn declared_refused(&self) -> usize {
        self.declared - self.declared_working
    }

    fn add_message(&mut self, message: &Message, served: Served) {
        let works = usize::from(served(message) == Status::Works);
        self.messages += 1;
        self.working += works;
        let asked = matches!(message.lifecycle, Lifecycle::Published | Lifecycle::Deprecated);
        if asked && message.implied.is_none() {
            self.declared += 1;
            self.declared_working += works;
        }
    }

    fn json(&self) -> Json {
        json!({
            "fields": self.fields,
            "messages": self.messages,
            "working": self.working,
            "refused": self.refused(),
            "not_implied": { "messages": self.declared, "working": self.declared_working, "refused": self.declared_refused() },
        })
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(counts: I) -> Counts {
        counts.fold(Counts::default(), |a, b| Counts {
            fields: a.fields + b.fields,
            messages: a.messages + b.messages,
            working: a.working + b.working,
            declared: a.declared + b.declared,
            declared_working: a.declared_working + b.declared_working,
        })
    }
}

/// The counts of every class, in the tables' order; without `ours`, of what is published alone.
pub fn coverage(served: Served, ours: bool) -> Vec<(&'static Class, Counts)> {
    let classes = CLASSES.iter().filter(|class| ours || !class.flags.extension);
    classes.map(|class| (*class, of_class(class, served, ours))).collect()
}

/// The counts of one class.
pub fn of_class(class: &Class, served: Served, ours: bool) -> Counts {
    let fields = class.fields.iter().filter(|field| !field.flags.internal && (ours || !field.flags.extension));
    let mut counts = Counts { fields: fields.count(), ..Counts::default() };
    let messages = MODEL.messages.iter().filter(|message| message.class == class.id && (ours || !message.extension));
    messages.for_each(|message| counts.add_message(message, served));
    counts
}

/// All of it as JSON: each class, everything together, and what is published alone.
pub fn json(served: Served) -> Json {
    let all = coverage(served, true);
    let classes = all.iter().map(|(class, counts)| {
        let mut json = counts.json();
        json["class"] = class.name.into();
        json
    });
    let published = coverage(served, false);
    let mut of_published = published.iter().map(|(_, counts)| *counts).sum::<Counts>().json();
    of_published["classes"] = published.len().into();
    json!({
        "classes": classes.collect::<Vec<_>>(),
        "total": all.iter().map(|(_, counts)| *counts).sum::<Counts>().json(),
        "published": of_published,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_implied(message: &Message) -> Status {
        if message.implied.is_some() { Status::Works } else { Status::Refused("a test") }
    }

    #[test]
    fn every_message_is_counted_once() {
        let total: Counts = coverage(only_implied, true).into_iter().map(|(_, counts)| counts).sum();
        assert_eq!(total.messages, MODEL.messages.len());
        assert_eq!(total.working, MODEL.messages.iter().filter(|message| message.implied.is_some()).count());
        assert_eq!(total.working + total.refused(), total.messages);
        assert_eq!((total.declared_working, total.declared_refused()), (0, total.declared));
        let published: Counts = coverage(only_implied, false).into_iter().map(|(_, counts)| counts).sum();
        assert!(published.messages < total.messages, "some are ours");
    }
}

//! Clients of `event.register` and `event.next`, whose registrations outlive the server: every change of a network, in
//! order; after a crash the last answers may come again.

use std::sync::Arc;
use std::thread::spawn;

use serde_json::{Value, json};

use crate::expected::Log;
use crate::place::{Place, call};
use crate::server::{Failure, PASSWORD};
use crate::{Story, Telling, text};

struct Registered {
    behind: u64,
    /// Position, reference and operation, as they came; and how often the server was away.
    told: Vec<(u64, String, String)>,
    broken: usize,
}

pub fn registered(place: &Arc<Place>) -> Telling {
    let place = place.clone();
    let mut connection = place.connect();
    let login = connection.call("session.login_with_password", json!(["root", PASSWORD]));
    let session = login.expect("root may log in").as_str().expect("a reference").to_string();
    call(&mut connection, &session, "event.register", &[json!(["Network"])]).expect("it registers");
    let behind = place.ask("event.get_current_id", &[]);
    let behind = behind.as_u64().or_else(|| behind.as_str()?.parse().ok()).expect("a position");
    spawn(move || -> Box<dyn Story> {
        let mut story = Registered { behind, told: Vec::new(), broken: 0 };
        while !story.told.last().is_some_and(|(position, ..)| place.is_end(*position)) {
            match call(&mut connection, &session, "event.next", &[]) {
                Ok(events) => story.told.extend(events.as_array().expect("events").iter().map(told)),
                Err(Failure::Refused(code, params)) => panic!("event.next: {code} {params:?}"),
                Err(Failure::Broken(_)) => {
                    story.broken += 1;
                    place.rest();
                    connection = place.connect();
                }
            }
        }
        Box::new(story)
    })
}

fn told(event: &Value) -> (u64, String, String) {
    assert_eq!(text(event, "class"), "network");
    assert!(event["snapshot"].is_object(), "also what was deleted comes whole: {event}");
    let position = text(event, "id").parse().expect("a position");
    (position, text(event, "ref").to_string(), text(event, "operation").to_string())
}

impl Story for Registered {
    fn name(&self) -> String {
        "event.next".into()
    }

    fn compare(&self, log: &Log) {
        let last = self.told.last().map_or(0, |(position, ..)| *position);
        let mut expected = Vec::new();
        for event in log.events() {
            let position = event["position"].as_u64().expect("a position");
            for change in event["changes"].as_array().into_iter().flatten() {
                if change["class"] == "network" && position > self.behind && position <= last {
                    expected.push((position, text(change, "ref").to_string(), text(change, "op").to_string()));
                }
            }
        }
        let (mut reached, mut rewound) = (0, 0);
        for told in &self.told {
            let at = expected.iter().position(|wanted| wanted == told);
            let at = at.unwrap_or_else(|| panic!("event.next told {told:?}, which is not in the log"));
            assert!(at <= reached, "event.next left out {:?}", &expected[reached..at]);
            rewound += usize::from(at < reached && expected.get(reached - 1).is_some());
            reached = reached.max(at + 1);
        }
        assert!(reached == expected.len() && reached > 0, "event.next: {reached} of {}", expected.len());
        assert!(self.broken > 0 || rewound == 0, "event.next told {rewound} twice though nothing broke");
    }
}

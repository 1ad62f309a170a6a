//! Clients of `event.from`: each keeps a copy of the pool by the snapshots and deletions that it is told. In the end the
//! copy is the pool; what was deleted is gone from it, whatever happened meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::spawn;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::expected::Log;
use crate::place::{Place, call};
use crate::server::{Connection, Failure};
use crate::{Story, Telling, text};

/// One in so many connections is cut before the answer is read.
const CUT: u32 = 8;
const CLASSES: [&str; 3] = ["network", "VM", "task"];

struct Coalesced {
    copy: BTreeMap<(String, String), Value>,
    /// The pool at the copy's position, folded from the log.
    pool: BTreeMap<(String, String), Value>,
}

pub fn coalesced(place: &Arc<Place>, seed: u64) -> Telling {
    let place = place.clone();
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut story = Coalesced { copy: BTreeMap::new(), pool: BTreeMap::new() };
        let mut token = String::new();
        let mut connection = place.connect();
        while !story.is_over() {
            if random.next_u32().is_multiple_of(CUT) {
                connection = place.connect();
            }
            match story.round(&place, &mut connection, &token) {
                Ok(next) => token = next,
                Err(Failure::Refused(code, params)) => panic!("event.from: {code} {params:?}"),
                Err(Failure::Broken(_)) => connection = place.connect(),
            }
        }
        // Guests go on telling of themselves after the last word: the pool is the one that the token names.
        let position: u64 = token.split(',').next().and_then(|text| text.parse().ok()).expect("a position");
        for class in CLASSES {
            let records = place.ask("log.get_all_records_at", &[json!(class), json!(position.to_string())]);
            for (reference, record) in records.as_object().expect("records") {
                story.pool.insert((class.to_ascii_lowercase(), reference.clone()), record.clone());
            }
        }
        Box::new(story)
    })
}

impl Coalesced {
    /// The task is the last word.
    fn is_over(&self) -> bool {
        self.copy.iter().any(|((class, _), record)| class == "task" && record["name_label"] == "the end")
    }

    /// One call: applied whole, or not at all.
    fn round(&mut self, place: &Place, connection: &mut Connection, token: &str) -> Result<String, Failure> {
        let answer = call(connection, place.session(), "event.from", &[json!(CLASSES), json!(token), json!(3.0)])?;
        let mut seen = Vec::new();
        for event in answer["events"].as_array().expect("events") {
            let key = (text(event, "class").to_string(), text(event, "ref").to_string());
            assert!(!seen.contains(&key), "an object twice in one answer: {key:?}");
            seen.push(key.clone());
            let known = self.copy.contains_key(&key);
            match text(event, "operation") {
                "del" => assert!(self.copy.remove(&key).is_some(), "{key:?} is deleted, and was never told of"),
                "add" => assert!(!known, "{key:?} is new, and was told of before"),
                _ => assert!(known, "{key:?} changed, and was never told of"),
            }
            if let Some(record) = event.get("snapshot") {
                self.copy.insert(key, record.clone());
            }
        }
        for class in CLASSES.map(str::to_ascii_lowercase) {
            let count = self.copy.keys().filter(|(of, _)| *of == class).count() as u64;
            assert_eq!(
                answer["valid_ref_counts"][&class].as_u64(),
                Some(count),
                "the copy has all that lives of {class}"
            );
        }
        Ok(text(&answer, "token").to_string())
    }
}

impl Story for Coalesced {
    fn name(&self) -> String {
        "event.from".into()
    }

    fn compare(&self, _: &Log) {
        for (key, record) in &self.pool {
            assert_eq!(self.copy.get(key), Some(record), "{key:?}");
        }
        assert_eq!(self.copy.len(), self.pool.len(), "what was deleted is still in the copy");
    }
}

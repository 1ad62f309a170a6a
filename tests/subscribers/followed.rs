//! Subscribers that follow every change: by `subscription.poll` and `ack`, as a stream, by long poll, and by reading the
//! log. But for polls, whose unacknowledged events come again, each event is told exactly once.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::thread::spawn;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::expected::{Log, Told, same};
use crate::place::{Place, Wants, call};
use crate::server::{Answer, Connection, Failure};
use crate::{Story, Telling, position_of, text};

/// One in so many answers is thrown away before it is read, as when a connection is cut.
const CUT: u32 = 8;

/// What was told, once each.
struct Followed {
    kind: &'static str,
    wants: Wants,
    behind: u64,
    told: Vec<Told>,
}

impl Story for Followed {
    fn name(&self) -> String {
        format!("{} of {:?}", self.kind, self.wants)
    }

    fn compare(&self, log: &Log) {
        let last = self.told.last().map_or(0, |event| event.position);
        same(&self.name(), &self.told, &log.told(&self.wants, self.behind, last));
    }
}

/// The token at the head, and its position.
fn head(place: &Place, wants: &Wants) -> (String, u64) {
    let token = loop {
        let answer = fetch(place, &format!("/events?{}&token=now&timeout=0", wants.query()));
        if let Some(answer) = answer {
            break text(&answer, "token").to_string();
        }
        place.rest();
    };
    let position = position_of(&token);
    (token, position)
}

/// A whole JSON document, or nothing if the connection broke.
fn fetch(place: &Place, path: &str) -> Option<Value> {
    let answer = Answer::read(&mut BufReader::new(place.get(path, "").ok()?)).ok()?;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).ok()
}

/// `GET /events`: the id of the last whole message is where it goes on.
pub fn streamed(place: &Arc<Place>, wants: Wants, seed: u64) -> Telling {
    let place = place.clone();
    let (mut token, behind) = head(&place, &wants);
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut told: Vec<Told> = Vec::new();
        while !told.last().is_some_and(|event| place.is_end(event.position)) {
            let path = format!("/events?{}&token=now", wants.query());
            let Ok(stream) = place.get(&path, &format!("Last-Event-ID: {token}\r\n")) else {
                place.rest();
                continue;
            };
            let left = 1 + random.next_u32() as usize % 40;
            read_messages(BufReader::new(stream), left, |id, data| {
                token = id.to_string();
                if let Some(data) = data {
                    told.push(Told::of(&serde_json::from_str(data).expect("JSON")));
                }
                !told.last().is_some_and(|event| place.is_end(event.position))
            });
        }
        Box::new(Followed { kind: "a stream", wants, behind, told })
    })
}

/// Shows the stream's messages until there were enough of them, or it breaks.
fn read_messages(stream: impl BufRead, mut left: usize, mut show: impl FnMut(&str, Option<&str>) -> bool) {
    let (mut id, mut data) = (String::new(), None);
    let mut lines = stream.lines().map_while(Result::ok).skip_while(|line| !line.is_empty()).skip(1);
    while left > 0 {
        let Some(line) = lines.next() else { return };
        if let Some(value) = line.strip_prefix("id: ") {
            id = value.to_string();
        } else if let Some(value) = line.strip_prefix("data: ") {
            data = Some(value.to_string());
        } else if line.is_empty() && !id.is_empty() {
            if !show(&id, data.take().as_deref()) {
                return;
            }
            id.clear();
            left -= 1;
        }
    }
}

/// `GET /events?timeout=`: the token of the last answer is where it goes on.
pub fn long_polled(place: &Arc<Place>, wants: Wants, seed: u64) -> Telling {
    let place = place.clone();
    let (mut token, behind) = head(&place, &wants);
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut told: Vec<Told> = Vec::new();
        while !told.last().is_some_and(|event| place.is_end(event.position)) {
            let max = 1 + random.next_u32() % 50;
            let path = format!("/events?{}&token={token}&timeout=3&max={max}", wants.query());
            if random.next_u32().is_multiple_of(CUT) {
                drop(place.get(&path, ""));
                continue;
            }
            let Some(answer) = fetch(&place, &path) else {
                place.rest();
                continue;
            };
            token = text(&answer, "token").to_string();
            told.extend(answer["events"].as_array().expect("events").iter().map(Told::of));
        }
        Box::new(Followed { kind: "a long poll", wants, behind, told })
    })
}

/// `GET /log`: the last whole line is where it goes on.
pub fn reading(place: &Arc<Place>, wants: Wants, seed: u64) -> Telling {
    let place = place.clone();
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut lines, mut position) = (Vec::new(), 0);
        while !place.is_end(position) {
            let Ok(stream) = place.get(&format!("/log?kind=change&since={}", position + 1), "") else {
                place.rest();
                continue;
            };
            let mut stream = BufReader::new(stream);
            let mut left = 1 + random.next_u32() % 2_000;
            let mut line = String::new();
            let mut body = false;
            while left > 0 && stream.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
                if body {
                    let event: Value = serde_json::from_str(&line).expect("JSON");
                    position = event["position"].as_u64().expect("a position");
                    lines.push(event);
                    left -= 1;
                }
                body |= line == "\r\n";
                line.clear();
            }
            place.rest();
        }
        Box::new(Read { wants, lines })
    })
}

/// The log, as somebody read it on the way.
struct Read {
    wants: Wants,
    lines: Vec<Value>,
}

impl Story for Read {
    fn name(&self) -> String {
        format!("a reader of the log, {:?}", self.wants)
    }

    fn compare(&self, log: &Log) {
        // Names of objects are those of the time of reading.
        let bare = |event: &Value| (event["position"].clone(), event["message"].clone(), event["changes"].clone());
        let read: Vec<_> = self.lines.iter().map(bare).collect();
        let whole: Vec<_> = log.events().iter().take(read.len()).map(bare).collect();
        assert_eq!(read, whole, "{}", self.name());
    }
}

/// `subscription.poll` and `ack`.
pub fn polled(place: &Arc<Place>, wants: Wants, seed: u64) -> Telling {
    let place = place.clone();
    let own = place.ask("subscription.create", &[wants.record()]);
    let behind =
        position_of(place.ask("subscription.get_cursor", std::slice::from_ref(&own)).as_str().expect("a token"));
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut story = Polled { wants, behind, acknowledged: vec![behind], answers: Vec::new() };
        let mut connection = place.connect();
        while !story.is_over(&place) {
            match story.round(&place, &mut connection, &own, &mut random) {
                Ok(true) => {}
                Err(Failure::Refused(code, params)) => panic!("{code} {params:?}"),
                Ok(false) | Err(Failure::Broken(_)) => connection = place.connect(),
            }
        }
        Box::new(story)
    })
}

/// All answers to one subscription's polls.
struct Polled {
    wants: Wants,
    behind: u64,
    /// The position acknowledged last, and those whose acknowledgment was not answered.
    acknowledged: Vec<u64>,
    /// With the positions that each answer may begin behind.
    answers: Vec<(Vec<u64>, Vec<Told>)>,
}

impl Polled {
    fn is_over(&self, place: &Place) -> bool {
        let last = self.answers.last().and_then(|(_, told)| told.last());
        last.is_some_and(|event| place.is_end(event.position))
    }

    /// A poll, and most of the time an acknowledgment; false if the connection is to be cut.
    fn round(
        &mut self,
        place: &Place,
        connection: &mut Connection,
        own: &Value,
        random: &mut ChaCha8Rng,
    ) -> Result<bool, Failure> {
        let max = json!(1 + random.next_u32() % 50);
        let answer = call(connection, place.session(), "subscription.poll", &[own.clone(), max, json!(3.0)])?;
        let events: Vec<Told> = answer["events"].as_array().expect("events").iter().map(Told::of).collect();
        self.answers.push((self.acknowledged.clone(), events));
        if random.next_u32().is_multiple_of(CUT) {
            return Ok(false);
        }
        if random.next_u32() % CUT != 1 {
            let cursor = text(&answer, "cursor");
            self.acknowledged.push(position_of(cursor));
            call(connection, place.session(), "subscription.ack", &[own.clone(), json!(cursor)])?;
            self.acknowledged.drain(..self.acknowledged.len() - 1);
        }
        Ok(true)
    }
}

impl Story for Polled {
    fn name(&self) -> String {
        format!("polls of {:?}", self.wants)
    }

    /// Each answer is what comes behind one of the places that may have been the acknowledged one; all is answered.
    fn compare(&self, log: &Log) {
        let told = self.answers.iter().flat_map(|(_, told)| told);
        let last = told.map(|event| event.position).max().unwrap_or_default();
        let expected = log.told(&self.wants, self.behind, last);
        let mut reached = 0;
        for (places, told) in &self.answers {
            let told: Vec<Told> = told.iter().filter(|event| !event.is_derived()).cloned().collect();
            let begins = |place: &u64| expected.partition_point(|event| event.position <= *place);
            let fits = |from: usize| expected.get(from..from + told.len()).is_some_and(|part| part == told);
            let from = places.iter().map(begins).find(|from| fits(*from));
            let from = from.unwrap_or_else(|| panic!("{}: behind {places:?} it was told {told:?}", self.name()));
            assert!(from <= reached, "{}: events were left out before {told:?}", self.name());
            reached = reached.max(from + told.len());
        }
        assert!(reached == expected.len() && reached > 0, "{}: {reached} of {}", self.name(), expected.len());
    }
}

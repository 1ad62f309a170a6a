//! Receivers of deliveries, over TCP and over Unix sockets, some of whose answers are refusals or cut off: what they
//! accepted is everything, in order; what comes again is equal.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::spawn;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::expected::{Log, Told};
use crate::place::{Place, Wants};
use crate::{Story, Telling, position_of, text};

/// One in so many posts is answered in a bad way.
const BAD: u32 = 12;

struct Posted {
    wants: Wants,
    behind: u64,
    posts: Vec<Post>,
}

/// One post as it came.
struct Post {
    id: String,
    /// How often the server had been killed.
    kills: u64,
    accepted: bool,
    told: Vec<Told>,
}

pub fn posted(place: &Arc<Place>, wants: Wants, seed: u64, socket: Option<PathBuf>) -> Telling {
    let (destination, mut listener) = match socket {
        Some(path) => {
            let listener = UnixListener::bind(&path).expect("a socket");
            (format!("unix:{}", path.display()), Listener::Unix(listener))
        }
        None => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            (format!("http://{}/hook", listener.local_addr().expect("an address")), Listener::Tcp(listener))
        }
    };
    let mut record = wants.record();
    record["destination"] = json!(destination);
    record["secret"] = json!("a secret of mine");
    let own = place.ask("subscription.create", &[record]);
    let behind = position_of(place.ask("subscription.get_cursor", &[own]).as_str().expect("a token"));
    let place = place.clone();
    spawn(move || -> Box<dyn Story> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut story = Posted { wants, behind, posts: Vec::new() };
        while !story.is_over(&place) {
            let mut stream = listener.accept();
            while let Some(post) = read_post(&mut stream) {
                let answer = match random.next_u32() % (3 * BAD) {
                    0 => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
                    1 => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
                    2 => "",
                    _ => "HTTP/1.1 204 No Content\r\n\r\n",
                };
                let good = answer.contains("204");
                let (id, told) = post;
                story.posts.push(Post { id, kills: place.kills(), accepted: good, told });
                if stream.get_mut().write_all(answer.as_bytes()).is_err() || !good || story.is_over(&place) {
                    break;
                }
            }
        }
        Box::new(story)
    })
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Bytes both ways, whatever carries them.
trait Both: Read + Write {}

impl<T: Read + Write> Both for T {}

type Stream = BufReader<Box<dyn Both>>;

impl Listener {
    fn accept(&mut self) -> Stream {
        BufReader::new(match self {
            Listener::Tcp(listener) => Box::new(listener.accept().expect("a connection").0),
            Listener::Unix(listener) => Box::new(listener.accept().expect("a connection").0),
        })
    }
}

/// The next post, its id and its events; `None` if the connection ends.
fn read_post(stream: &mut Stream) -> Option<(String, Vec<Told>)> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_string())),
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    assert!(headers["webhook-signature"].starts_with("v1,"), "{headers:?}");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let events: Vec<Told> = body["events"].as_array().expect("events").iter().map(Told::of).collect();
    assert_eq!(position_of(text(&body, "cursor")), events.last()?.position);
    Some((headers["webhook-id"].clone(), events))
}

impl Posted {
    fn is_over(&self, place: &Place) -> bool {
        let accepted = self.posts.iter().rev().find(|post| post.accepted);
        accepted.and_then(|post| post.told.last()).is_some_and(|event| place.is_end(event.position))
    }
}

impl Story for Posted {
    fn name(&self) -> String {
        format!("deliveries of {:?}", self.wants)
    }

    fn compare(&self, log: &Log) {
        let name = self.name();
        let last = self.posts.iter().filter_map(|post| post.told.last()).map(|event| event.position).max();
        let expected = log.told(&self.wants, self.behind, last.unwrap_or_default());
        let (mut accepted, mut known) = (0, HashMap::<&str, &Vec<Told>>::new());
        for Post { id, accepted: good, told, .. } in &self.posts {
            let before = known.insert(id, told);
            assert!(before.is_none_or(|before| before == told), "{name}: {id} was posted again with other events");
            let own: Vec<&Told> = told.iter().filter(|event| !event.is_derived()).collect();
            let Some(first) = own.first() else { continue };
            let from = expected.iter().position(|event| event.position == first.position);
            let from = from.unwrap_or_else(|| panic!("{name}: {first:?} is not in the log"));
            assert!(from <= accepted, "{name}: {first:?} came before what was not accepted");
            assert!(own.iter().copied().eq(expected.iter().skip(from).take(own.len())), "{name}: {own:?}");
            if *good {
                accepted = accepted.max(from + own.len());
            }
        }
        assert!(accepted == expected.len() && accepted > 0, "{name}: {accepted} of {}", expected.len());
        // Refused posts come again as they were, unless the server died before it knew.
        for pair in self.posts.windows(2) {
            let [refused, next] = pair else { continue };
            let same = refused.accepted || refused.kills != next.kills || refused.id == next.id;
            assert!(same, "{name}: {} was refused, and {} came instead", refused.id, next.id);
        }
    }
}

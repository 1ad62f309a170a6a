//! Every message of the model, called with whatever fits and with what does
//! not: none answers with an error that it does not declare, or with
//! INTERNAL_ERROR, and what is refused changes nothing.

use crate::arguments::{Dice, fitting, off_the_wire, refused_by_state, spoil};
use crate::furnish::furnish;
use crate::server::Server;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use xenledger::error::ApiError;
use xenledger::gateway::dispatch::list_methods;
use xenledger::model::{ClassId, Lifecycle, MODEL, Message};
use xenledger::value::Value;

/// How often each message is called with arguments that fit.
const ROUNDS_DECLARED: usize = 12;
const ROUNDS_IMPLIED: usize = 4;
/// Classes whose messages end sessions, change passwords, or take the pool apart get a server of their own.
const ALONE: [ClassId; 4] = [ClassId::session, ClassId::user, ClassId::host, ClassId::pool];
/// Those whose messages end the caller's own session, at once or by its limits.
const ENDS_SESSIONS: [ClassId; 2] = [ClassId::session, ClassId::pool];
/// Messages that one server is called with before a new one takes its place.
const MESSAGES_MAX: usize = 250;
/// Calls that no message may accept.
const INVALID: usize = 100_000;
/// Of a hundred of them, how many are refused for the state that things are in; the others for their arguments.
const BY_STATE: usize = 20;

/// What a run is reproduced from.
pub fn seed() -> u64 {
    let given = std::env::var("XENLEDGER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(20_261_122);
    println!("XENLEDGER_SEED={seed}");
    seed
}

/// What is wrong with that answer to a call that fits.
fn objection(served: &HashSet<&str>, message: &Message, error: &ApiError) -> Option<String> {
    let refused = !served.contains(message.full_name) && matches!(error.code, "NOT_IMPLEMENTED" | "MESSAGE_REMOVED");
    let declared = message.raises(error.code) && error.code != "INTERNAL_ERROR";
    (!refused && !declared).then(|| format!("{} answers {error}", message.full_name))
}

#[tokio::test]
async fn every_message_answers_with_what_it_declares() {
    let served: HashSet<&str> = list_methods().collect();
    let (seed, times) = (seed(), if std::env::var_os("XENLEDGER_LONG").is_some() { 10 } else { 1 });
    let mut server = furnished().await;
    let (mut calls, mut class) = (0, ClassId::session);
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    for message in MODEL.messages.iter().filter(|message| message.lifecycle != Lifecycle::Removed) {
        if calls > MESSAGES_MAX || class != message.class && (ALONE.contains(&class) || ALONE.contains(&message.class))
        {
            (server, calls) = (furnished().await, 0);
        }
        (class, calls) = (message.class, calls + 1);
        let mut dice = Dice::of(seed, message.full_name);
        for _ in 0..times * if message.implied.is_some() { ROUNDS_IMPLIED } else { ROUNDS_DECLARED } {
            let args = fitting(&mut dice, &server.view(), message);
            let background = message.task && dice.percent(10);
            let answer = server.message(message, background, args.clone()).await;
            let complaint = match answer {
                Some(Ok(_)) => None,
                Some(Err(error)) if ENDS_SESSIONS.contains(&message.class) && error.code == "SESSION_INVALID" => {
                    server.login().await;
                    None
                }
                Some(Err(error)) => objection(&served, message, &error),
                None if message.class == ClassId::event || message.name == "wait" || message.name == "poll" => None, // waits for what does not happen
                None => Some(format!("{} is never answered", message.full_name)),
            };
            if let Some(complaint) = complaint {
                wrong.entry(short(&complaint)).or_insert_with(|| format!("{complaint}\n    to {args:?}"));
            }
        }
    }
    let wrong: Vec<String> = wrong.into_values().map(|text| text.chars().take(600).collect()).collect();
    assert!(wrong.is_empty(), "{} objections:\n{}", wrong.len(), wrong.join("\n"));
}

/// The message and the code, without what the call was about.
fn short(complaint: &str) -> String {
    complaint.split('(').next().unwrap_or_default().to_string()
}

async fn furnished() -> Server {
    let server = Server::reconciled().await;
    furnish(&server).await;
    server
}

#[tokio::test]
async fn what_no_message_may_accept_is_refused_and_changes_nothing() {
    let mut dice = Dice(seed());
    let server = furnished().await;
    server.pass(200).await;
    let messages: Vec<&Message> = MODEL.messages.iter().filter(|message| is_tried(message)).collect();
    let served: HashSet<&str> = list_methods().collect();
    let (mut before, hash) = (server.view(), server.state_hash());
    let mut wrong: BTreeSet<String> = BTreeSet::new();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..INVALID {
        let by_state = dice.percent(BY_STATE).then(|| refused_by_state(&mut dice, &before)).flatten();
        let (message, spoilt) = by_state.unwrap_or_else(|| {
            let message = dice.one(&messages);
            (message, spoil(&mut dice, &before, message))
        });
        let answer = server.message(message, false, spoilt.params.clone()).await;
        match &answer {
            Some(Err(error)) if spoilt.codes.contains(&error.code) && message.raises(error.code) => {
                *codes.entry(error.code).or_default() += 1;
            }
            // Refused whole, whatever it is called with.
            Some(Err(error)) if !served.contains(message.full_name) && error.code == "NOT_IMPLEMENTED" => {
                *codes.entry(error.code).or_default() += 1;
            }
            other => {
                let other =
                    other.as_ref().map(|answer| answer.as_ref().map(|_| "accepted").map_err(ToString::to_string));
                let spoilt = format!("{} {:?}", spoilt.how, spoilt.params);
                let spoilt: String = spoilt.chars().take(400).collect();
                wrong.insert(format!("{} is answered {other:?} to {spoilt}", message.full_name));
            }
        }
        // Nothing was published, or nothing but rows that change no object.
        let after = server.view();
        if !Arc::ptr_eq(&before, &after) {
            assert_eq!(after.state_hash(), hash, "{} changed something", message.full_name);
            before = after;
        }
    }
    assert!(wrong.is_empty(), "{} objections:\n{}", wrong.len(), wrong.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!(server.state_hash(), hash);
    println!("{codes:?}");
}

/// Messages that are checked before anything else is done; those that are refused whole are not.
fn is_tried(message: &Message) -> bool {
    message.lifecycle != Lifecycle::Removed && !message.no_session
}

#[tokio::test]
async fn a_session_that_is_none_may_do_nothing() {
    let mut dice = Dice(seed());
    let server = furnished().await;
    let hash = server.state_hash();
    for message in MODEL.messages.iter().filter(|message| is_tried(message)) {
        let mut params = vec![off_the_wire(&Value::Ref(dice.reference()))];
        params.extend(fitting(&mut dice, &server.view(), message));
        let answer = server.serve(message.full_name, params).await.expect("answered at once");
        assert_eq!(answer.err().expect("refused").code, "SESSION_INVALID", "{}", message.full_name);
    }
    assert_eq!(server.state_hash(), hash);
}

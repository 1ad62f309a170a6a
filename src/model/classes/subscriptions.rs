//! Subscriptions: what clients want to hear of, kept for them. Ours, not the published model's.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// What a client wants to hear of, kept by the server: it survives restarts of both, and what was not
    /// acknowledged is told again.
    subscription, by(read_only), create, destroy, no_events, extension;
    enums {
        subscription_format: "xenapi" "cloudevents";
        subscription_state: "active" "paused" "failed";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// The principal that made it: only it and operators of the pool may use and change it, and what it may not
        /// read is not told.
        RO owner: String = "";
        /// What is told: `*`, `VM`, `VM/REF`, `VM.power_state`, `VM/REF.power_state`; the class in any case.
        RW classes: Set<String> = { "*" };
        /// Fields with the values, separated by commas, that they must have in an object for its changes to be told; a
        /// field as `power_state` or, for objects of one class only, as `VM.power_state`.
        RW predicate: Map<String, String> = {};
        /// True if every change comes with the whole object as it was after it; an object that is new always does.
        RW snapshots: Bool = false;
        /// What the body of a delivery looks like.
        RW format: subscription_format = xenapi;
        /// Where batches are posted: `https://…`, `http://…` and `unix:/path` where the server was started to allow
        /// that; empty if the client polls.
        RW destination: String = "";
        /// What deliveries are signed with: `whsec_` and base64, or any text. Kept in the vault, never shown.
        RW secret: String = "", secret;
        /// The token behind what was acknowledged last. Given to the constructor, where to begin; empty for now.
        CO cursor: String = "";
        /// The position of the log in `cursor`.
        RO acknowledged: Int = 0;
        /// Positions between that and the head of the log.
        RO lag: Int = 0, volatile;
        /// Whether events are told; `failed` when a destination could not be reached for too long.
        RO state: subscription_state = active;
        /// Deliveries that failed since the last that did not.
        RO failures: Int = 0;
        /// Why the last of them failed.
        RO last_error: String = "";
        /// When a delivery was last accepted.
        RO last_delivery: DateTime = epoch;
        /// Since when no delivery was accepted; the epoch if the last one was.
        RO failing_since: DateTime = epoch;
        /// Seconds without an accepted delivery after which it becomes `failed`.
        RW give_up_after: Int = 259200;
        /// When it was made.
        RO created: DateTime = epoch;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// The user behind the owner, for what may be read; null for one who is gone.
        RO user: Ref<user> = null, internal;
        /// Where the vault keeps the secret, and what that must hash to; empty if there is none.
        RO sealed: String = "", internal;
        /// The position of the last event of a batch that was posted and not accepted: it is posted again as it was.
        RO posted: Int = 0, internal;
    }
    messages {
        /// Tell nothing for a while; nothing is lost meanwhile.
        fn pause(self: Ref<subscription>) -> Void as read_only, extension;
        /// Go on where it was paused or failed.
        fn resume(self: Ref<subscription>) -> Void as read_only, extension;
        /// Go on from a token, back or forth; an empty one is the beginning of the log.
        fn resume_from(self: Ref<subscription>, token: String) -> Void as read_only ![EVENT_FROM_TOKEN_PARSE_FAILURE, EVENTS_LOST], extension;
        /// Post an empty batch to the destination now and answer the HTTP status, or why there was none.
        fn test(self: Ref<subscription>) -> String as read_only, extension;
        /// Wait until there is something behind what was acknowledged, at most `timeout` seconds, and answer at most
        /// `max` events with a cursor for `ack`. What is not acknowledged is answered again.
        fn poll(self: Ref<subscription>, max: Int = 1000, timeout: Float = 0.0) -> EventBatch as read_only ![EVENTS_LOST, TOO_BUSY], extension;
        /// Say which event streams are open: whose, from where, what they asked for, how far they are behind.
        fn get_streams() -> Set<AnyRecord> as pool_operator, extension;
        /// Everything up to the cursor was taken care of; an older cursor than the last one changes nothing.
        fn ack(self: Ref<subscription>, cursor: String) -> Void as read_only ![EVENT_FROM_TOKEN_PARSE_FAILURE, EVENTS_LOST], extension;
    }
}

//! Who calls and what happens: sessions, users, roles, tasks, events, messages, blobs, secrets.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// One login: what a client holds between `login_with_password` and `logout`.
    session, by(pool_admin), no_get_all, no_events;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The host that the client logged in to.
        RO this_host: Ref<host>;
        /// The local user, if the login was not a subject's; otherwise null.
        RO this_user: Ref<user>;
        /// When the session made its last call.
        RO last_active: DateTime, volatile;
        /// True for a login between hosts of one pool.
        RO pool: Bool;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if the login has every right and no role limits it.
        RO is_local_superuser: Bool = false;
        /// The directory subject that gave access; null for a local superuser.
        RO subject: Ref<subject> = null;
        /// When the subject was last confirmed to be valid.
        RO validation_time: DateTime = epoch;
        /// Identifier of the user in the directory; empty for local logins.
        RO auth_user_sid: String = "";
        /// The name that was given at the login.
        RO auth_user_name: String = "";
        /// Names of all messages that the session's roles allow; empty for a superuser.
        CO rbac_permissions: Set<String> = {};
        /// Tasks that were begun in this session.
        RO tasks: Set<Ref<task>> => task.session;
        /// The session from which this one was made; null for a login of its own.
        CO parent: Ref<session> = null;
        /// What the client says it is; one originator's sessions do not push out another's.
        RO originator: String = "";
        /// True if the login was by a TLS client certificate.
        RO client_certificate: Bool = false;
        /// When it began: it ends a fixed time later, used or not.
        RO began: DateTime = epoch, internal;
        /// When it began.
        RO created: DateTime = epoch, volatile, extension;
        /// When it ends if it is not used any more.
        RO expires_at: DateTime = epoch, volatile, extension;
        /// Seconds without a call after which it ends, as the pool has it.
        RO idle_timeout: Int = 0, volatile, extension;
        /// Seconds after which it ends however much it is used, as the pool has it.
        RO max_lifetime: Int = 0, volatile, extension;
        /// What it registered for with `event.register`.
        RO registered: Set<String> = {}, internal;
        /// The saved database that its calls read: the name of a backup, or the reference of the disk that holds a copy;
        /// empty for the live one. Nothing can be changed in a saved one.
        RO database: String = "", extension;
        /// The position up to which it took the answers of `event.next`.
        RO told: Int = 0, internal;
    }
    messages {
        /// Use the session, and say when it ends if it is not used any more.
        fn touch() -> DateTime as read_only, extension;
        /// Give the record of every session there is, under keys that nobody can log in with.
        fn list() -> Map<Ref<session>, Record<session>> as pool_operator, extension;
        /// End every session of one subject.
        fn logout_subject_identifier(subject_identifier: String) -> Void as pool_operator;
        /// List the subjects that have a session now.
        fn get_all_subject_identifiers() -> Set<String> as read_only;
        /// End a session that was opened with `slave_local_login_with_password`.
        fn local_logout() -> Void as pool_admin;
        /// Open a session on a saved database instead of the live one: a backup in the server's folder for them, by its
        /// name. What the session reads is the pool as it was then, with its log; nothing can be changed in it. It ends
        /// like any other, and when the server does.
        fn create_from_db_file(filename: String) -> Ref<session> as local_root ![COULD_NOT_IMPORT_DATABASE, OPERATION_NOT_ALLOWED];
        /// Log in on one host without asking the pool's coordinator.
        fn slave_local_login_with_password(uname: String, pwd: String) -> Ref<session> as pool_admin ![SESSION_AUTHENTICATION_FAILED], no_session;
        /// Change the password of the local user whose session this is.
        fn change_password(old_pwd: String, new_pwd: String) -> Void as local_root ![SESSION_AUTHENTICATION_FAILED, CHANGE_PASSWORD_REJECTED];
        /// End the session; calls that wait in it end with SESSION_INVALID.
        fn logout() -> Void as read_only;
        /// Open a session. A wrong name and a wrong password give the same error, SESSION_AUTHENTICATION_FAILED.
        fn login_with_password(uname: String, pwd: String, version: String = "", originator: String = "") -> Ref<session> as read_only ![SESSION_AUTHENTICATION_FAILED, HOST_IS_SLAVE], no_session;
    }
}

class! {
    /// Questions to the directory of users outside this pool.
    auth, nothing_implied, no_events;
    fields {
    }
    messages {
        /// List the groups that a subject belongs to, groups of groups included.
        fn get_group_membership(subject_identifier: String) -> Set<String> as read_only ![AUTH_IS_DISABLED];
        /// What the directory says about a subject.
        fn get_subject_information_from_identifier(subject_identifier: String) -> Map<String, String> as read_only ![AUTH_IS_DISABLED];
        /// Find the identifier of a subject by its name.
        fn get_subject_identifier(subject_name: String) -> String as read_only ![AUTH_IS_DISABLED];
    }
}

class! {
    /// A user or group of an outside directory that may log in.
    subject, by(pool_admin), create, destroy;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Identifier in the directory, unique there.
        CO subject_identifier: String = "";
        /// What the directory said about it when it was added: name, group, account state.
        CO other_config: Map<String, String> = {};
        /// The roles that its sessions get; with none it can log in but do nothing.
        RO roles: Set<Ref<role>> = {};
    }
    messages {
        /// List the names of all messages that its roles allow.
        fn get_permissions_name_label(self: Ref<subject>) -> Set<String> as read_only, task;
        /// Take a role away from it.
        fn remove_from_roles(self: Ref<subject>, role: Ref<role>) -> Void as pool_admin ![ROLE_NOT_FOUND], task;
        /// Give it one more role.
        fn add_to_roles(self: Ref<subject>, role: Ref<role>) -> Void as pool_admin ![ROLE_ALREADY_EXISTS, ROLE_NOT_FOUND, VALUE_NOT_SUPPORTED], task;
    }
}

class! {
    /// A named set of rights. The published seven exist from the beginning and cannot be changed.
    role;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name of the role or, for a permission, of the message.
        CO name_label: String = "";
        /// What the role is meant for.
        CO name_description: String = "";
        /// The roles and permissions that this one includes.
        CO subroles: Set<Ref<role>> = {};
        /// True for roles that are not meant to be given to people.
        RO is_internal: Bool = false;
    }
    messages {
        /// List the roles that include the permission of that name.
        fn get_by_permission_name_label(label: String) -> Set<Ref<role>> as read_only;
        /// List the roles that include a permission.
        fn get_by_permission(permission: Ref<role>) -> Set<Ref<role>> as read_only;
        /// List the names of every permission of the role, those of its subroles included.
        fn get_permissions_name_label(self: Ref<role>) -> Set<String> as read_only;
        /// List every permission of the role, those of its subroles included.
        fn get_permissions(self: Ref<role>) -> Set<Ref<role>> as read_only;
    }
}

class! {
    /// One piece of work that takes time: its progress, its end, its result.
    task;
    enums {
        task_allowed_operations: "cancel" "destroy";
        task_status_type: "pending" "success" "failure" "cancelling" "cancelled";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The message that it carries out, or the label that a client gave.
        RO name_label: String = "";
        /// Longer text for people.
        RO name_description: String = "";
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<task_allowed_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, task_allowed_operations> = {};
        /// When it was accepted.
        RO created: DateTime;
        /// When it ended; the epoch while it is pending.
        RO finished: DateTime;
        /// Pending until it ends; then success, failure or cancelled, once and for ever.
        RO status: task_status_type;
        /// The host that does the work.
        RO resident_on: Ref<host>;
        /// From 0 to 1; 1 at the end, whatever the end was.
        RO progress: Float;
        /// Type of the result; `<none/>` where there is none.
        RO r#type: String;
        /// What the message answered, as an XML-RPC value; empty if nothing or not yet.
        RO result: String;
        /// Error code and its parameters after a failure; otherwise empty.
        RO error_info: Set<String>;
        /// Keys and values for clients to use; every key is kept.
        RO other_config: Map<String, String> = {};
        /// The task that this one is a part of; null if none.
        RO subtask_of: Ref<task> = null;
        /// Tasks that are parts of this one.
        RO subtasks: Set<Ref<task>> => task.subtask_of;
        /// Where it failed inside the server; `()` if it did not.
        RO backtrace: String = "()";
        /// How far the operation had come when it ended; `progress` is 1 then.
        RO progress_at_end: Float = 0.0, extension;
        /// The session that it was begun in; null if that has ended.
        RO session: Ref<session> = null, internal;
        /// The subscription that is told of its end; null for none.
        RO notify: Ref<subscription> = null, internal;
        /// The principal that began it, who may cancel and destroy it.
        RO owner: String = "", internal;
        /// The message to carry out; empty for a task that a client created.
        RO operation: String = "", internal;
        /// The call's arguments, as a JSON array in their persisted form.
        RO arguments: String = "", internal;
        /// Identities drawn beforehand for what the operation makes.
        RO planned: Map<String, String> = {}, internal;
        /// The object that the operation is about.
        RO object: String = "", internal;
        /// The objects held until the end, as CLASS/REF.
        RO locks: Set<String> = {}, internal;
        /// When the operation is ended with an error if it has not ended by itself or come further; once the task is
        /// cancelled, when that was.
        RO deadline: DateTime = epoch, internal;
        /// Somebody waits on the line; the task goes soon after its end.
        RO synchronous: Bool = false, internal;
        /// The disks that the operation makes, writes or removes, decided when it began: see `operation::Disk`.
        RO disks: String = "", internal;
    }
    messages {
        /// Replace all keys and values.
        fn set_other_config(self: Ref<task>, value: Map<String, String>) -> Void as read_only ![RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED], prototyped;
        /// Remove a key; not an error if it is not there.
        fn remove_from_other_config(self: Ref<task>, key: String) -> Void as read_only ![RBAC_PERMISSION_DENIED], prototyped;
        /// Add a key; MAP_DUPLICATE_KEY if it is there.
        fn add_to_other_config(self: Ref<task>, key: String, value: String) -> Void as read_only ![MAP_DUPLICATE_KEY, RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED], prototyped;
        /// Set the error of a task that a client created.
        fn set_error_info(self: Ref<task>, value: Set<String>) -> Void as read_only ![OPERATION_NOT_ALLOWED, RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED];
        /// Set the result of a task that a client created.
        fn set_result(self: Ref<task>, value: String) -> Void as read_only ![OPERATION_NOT_ALLOWED, RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED];
        /// Set the progress, 0 to 1, of a task that a client created.
        fn set_progress(self: Ref<task>, value: Float) -> Void as read_only ![OPERATION_NOT_ALLOWED, RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED];
        /// Set the status of a task that a client created; success, failure and cancelled end it.
        fn set_status(self: Ref<task>, value: task_status_type) -> Void as read_only ![OPERATION_NOT_ALLOWED, RBAC_PERMISSION_DENIED, VALUE_NOT_SUPPORTED];
        /// Ask that the work stop. What cannot be stopped any more refuses with OPERATION_NOT_ALLOWED; whether it did
        /// is in `status`.
        fn cancel(task: Ref<task>) -> Void as read_only ![OPERATION_NOT_ALLOWED, RBAC_PERMISSION_DENIED];
        /// Tell the task's end to a subscription of one's own, whatever that wants to hear otherwise; null for none. An
        /// end that was before is told now.
        fn set_notify(self: Ref<task>, value: Ref<subscription>) -> Void as read_only ![RBAC_PERMISSION_DENIED], extension;
        /// Wait until the task has ended, at most `timeout` seconds, and answer its record; `status` says which it was.
        fn wait(self: Ref<task>, timeout: Float = 0.0) -> Record<task> as read_only ![TOO_BUSY], extension;
        /// Forget a task; the work, if still under way, goes on.
        fn destroy(self: Ref<task>) -> Void as read_only ![RBAC_PERMISSION_DENIED];
        /// Make a task for the client's own bookkeeping; the server does not touch its progress.
        fn create(label: String, description: String = "") -> Ref<task> as read_only ![OPERATION_NOT_ALLOWED];
    }
}

class! {
    /// One change of one object, as a subscriber receives it. Not stored as an object.
    event, nothing_implied, no_events;
    enums {
        event_operation: "add" "del" "mod";
    }
    fields {
        /// The whole record as it is after the change; left out when the object is gone.
        RO snapshot: AnyRecord;
        /// Position in the log of the change; not unique, since one event can change many objects.
        CO id: Int;
        /// When it happened; clients should not rely on it.
        CO timestamp: DateTime, deprecated;
        /// Class of the object, in lower case.
        CO class: String;
        /// Whether the object came, changed or went.
        CO operation: event_operation;
        /// Reference of the object.
        CO r#ref: String;
        /// Identifier of the object; not sent, use `ref`.
        CO obj_uuid: String, deprecated;
    }
    messages {
        /// Make subscribers see a `mod` of one object and answer a token that lies just before it: whoever has
        /// reached that token has seen all earlier changes.
        fn inject(class: String, ref: String) -> String as read_only ![HANDLE_INVALID];
        /// The position that the next event will have, for `next`.
        fn get_current_id() -> Int as read_only;
        /// Wait until something subscribed has changed since the token, at most `timeout` seconds, and answer all of
        /// it with a new token. An empty token means from the beginning: every object comes as `add`. A token that
        /// can no longer be continued gives EVENTS_LOST.
        fn from(classes: Set<String>, token: String, timeout: Float) -> EventBatch as read_only ![EVENT_FROM_TOKEN_PARSE_FAILURE, EVENT_SUBSCRIPTION_PARSE_FAILURE];
        /// Wait for the next events of the classes that the session registered for.
        fn next() -> Set<Record<event>> as read_only ![SESSION_NOT_REGISTERED, EVENTS_LOST, EVENT_SUBSCRIPTION_PARSE_FAILURE], deprecated;
        /// Stop receiving events of these classes by `next`; `*` for all.
        fn unregister(classes: Set<String>) -> Void as read_only, deprecated;
        /// Receive events of these classes by `next`, from now on; `*` for all.
        fn register(classes: Set<String>) -> Void as read_only, deprecated;
        /// Wait until an object (`VM/REF`) has the values that the predicate names (`power_state` to `Running,Paused`), at
        /// most `timeout` seconds. Answers at once if it has them or had them since the token, with whether they were
        /// met, a token to go on from, and the object as it is now.
        fn wait(object: String, predicate: Map<String, String>, token: String = "", timeout: Float = 0.0) -> EventBatch as read_only ![EVENT_SUBSCRIPTION_PARSE_FAILURE, EVENT_FROM_TOKEN_PARSE_FAILURE, EVENTS_LOST, HANDLE_INVALID, TOO_BUSY], extension;
    }
}

class! {
    /// A local user.
    user, by(pool_admin), create, destroy, no_get_all, no_events, deprecated;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The name to log in with.
        CO short_name: String;
        /// The whole name of the person.
        RW fullname: String;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// What the user may do; the local superuser needs none.
        RW roles: Set<Ref<role>> = {}, extension;
        /// What the user may read: classes, and objects as CLASS/REF; `*` for everything. Its own tasks and
        /// subscriptions it may read whatever is said here.
        RW reads: Set<String> = { "*" }, extension;
        /// May do everything, as on the machine itself.
        RO is_local_superuser: Bool = false, extension;
        /// Where the vault keeps the hash of the password, and what that must hash to; "" if none was set.
        RO password: String = "", internal;
    }
    messages {
        /// Give the user a password; whoever was logged in with the old one stays so.
        fn set_password(self: Ref<user>, new_pwd: String) -> Void as pool_admin ![CHANGE_PASSWORD_REJECTED], extension;
    }
}

class! {
    /// A notice for people about an object: an alarm, a failure, an advice.
    message, nothing_implied;
    enums {
        cls: "VM" "Host" "SR" "Pool" "VMPP" "VMSS" "PVS_proxy" "VDI" "Certificate";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What it is about, as a constant that programs can compare.
        RO name: String;
        /// From 1, data is lost, to 5, only to know.
        RO priority: Int;
        /// Class of the object that it concerns.
        RO cls: cls;
        /// Identifier of the object that it concerns; it may be gone by now.
        RO obj_uuid: String;
        /// When it was made.
        RO timestamp: DateTime;
        /// The text; some names give it a form that programs can read.
        RO body: String;
    }
    messages {
        /// Answer the records for which the expression is true.
        fn get_all_records_where(expr: String) -> Map<Ref<message>, Record<message>> as read_only ![INVALID_VALUE];
        /// Answer every notice with its record.
        fn get_all_records() -> Map<Ref<message>, Record<message>> as read_only;
        /// Find a notice by its identifier; UUID_INVALID if there is none.
        fn get_by_uuid(uuid: String) -> Ref<message> as read_only ![UUID_INVALID];
        /// Answer the record.
        fn get_record(self: Ref<message>) -> Record<message> as read_only;
        /// Answer the notices made at that time or later.
        fn get_since(since: DateTime) -> Map<Ref<message>, Record<message>> as read_only;
        /// List all notices.
        fn get_all() -> Set<Ref<message>> as read_only;
        /// Answer the notices about one object, made at that time or later.
        fn get(cls: cls, obj_uuid: String, since: DateTime) -> Map<Ref<message>, Record<message>> as read_only ![UUID_INVALID];
        /// Remove every notice that fits the filters; without filters, all. `before` and `after` are datetimes; `uuid`,
        /// `name`, `priority`, `cls` and `obj_uuid` are what the field must be.
        fn destroy_all(filters: Map<String, String>) -> Void as pool_operator ![INVALID_VALUE], prototyped;
        /// Remove several notices at once; none is removed if one does not exist.
        fn destroy_many(messages: Set<Ref<message>>) -> Void as pool_operator, prototyped;
        /// Remove a notice.
        fn destroy(self: Ref<message>) -> Void as pool_operator;
        /// Make a notice about an object. An unknown object gives UUID_INVALID.
        fn create(name: String, priority: Int, cls: cls, obj_uuid: String, body: String) -> Ref<message> as pool_operator ![UUID_INVALID];
    }
}

class! {
    /// A value that others refer to instead of containing it: a password of a share, a key.
    secret, by(pool_operator), create, destroy, no_events, hidden;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The secret itself; kept in the vault, never in the log or in a record.
        RW value: String;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// The vault's id of the value.
        RO sealed: String = "", internal;
        /// SHA-256 of the vault's nonce and the value.
        RO digest: String = "", internal;
    }
}

class! {
    /// A piece of binary data that belongs to an object, read and written over HTTP.
    blob, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// Length in bytes; 0 until something has been written.
        RO size: Int;
        /// True if it may be read without logging in.
        RW public: Bool = false;
        /// When it was last written.
        CO last_updated: DateTime;
        /// What kind of data it is; empty means `application/octet-stream`.
        CO mime_type: String;
        /// The vault's id of the data; empty until something has been written.
        RO sealed: String = "", internal;
        /// SHA-256 of the vault's nonce and the data.
        RO digest: String = "", internal;
    }
    messages {
        /// Remove it and its data.
        fn destroy(self: Ref<blob>) -> Void as pool_operator, task;
        /// Make an empty one.
        fn create(mime_type: String, public: Bool) -> Ref<blob> as pool_operator, task;
    }
}

class! {
    /// A client as the server tells it from others, to count and to limit its calls.
    Caller, by(pool_admin), create, destroy, prototyped;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, prototyped;
        /// Name for people; need not be unique.
        RW name_label: String = "", prototyped;
        /// Longer text for people.
        RW name_description: String = "", prototyped;
        /// What the client calls itself; empty for any.
        CO user_agent: String = "", prototyped;
        /// Where it calls from; empty for anywhere.
        CO client_ip: String = "", prototyped;
        /// When it last called; the epoch if never.
        RO last_access: DateTime = epoch, prototyped, volatile;
        /// Names to count it under.
        RO groups: Set<String> = {}, prototyped;
        /// Its limit; null for none.
        RO rate_limit: Ref<Rate_limit> = null, prototyped;
        /// True if the server recorded it by itself.
        RO auto_registered: Bool = false, prototyped;
    }
    messages {
        /// What every client used.
        fn query_all_usage() -> Set<Set<String>> as pool_operator, task, prototyped;
        /// How often the clients of a group called.
        fn query_group_call_count(group: String) -> Int as pool_operator, task, prototyped;
        /// How much of their limits the clients of a group used.
        fn query_group_token_usage(group: String) -> Float as pool_operator, task, prototyped;
        /// How often it called.
        fn query_call_count(self: Ref<Caller>) -> Int as pool_operator, task, prototyped;
        /// How much of its limit it used.
        fn query_token_usage(self: Ref<Caller>) -> Float as pool_operator, task, prototyped;
        /// Count it under a name no longer.
        fn remove_group(self: Ref<Caller>, group: String) -> Void as pool_operator, task, prototyped;
        /// Count it under a name.
        fn add_group(self: Ref<Caller>, group: String) -> Void as pool_operator, task, prototyped;
    }
}

class! {
    /// How many calls a group of callers may make.
    Rate_limit, by(pool_admin), create, destroy, prototyped;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, prototyped;
        /// Name for people; need not be unique.
        RW name_label: String = "", prototyped;
        /// Longer text for people.
        RW name_description: String = "", prototyped;
        /// The clients that share it.
        RO callers: Set<Ref<Caller>> => Caller.rate_limit, prototyped;
        /// How many calls may come at once.
        CO burst_size: Float = 0.0, prototyped;
        /// How many calls a second are allowed in the long run.
        CO fill_rate: Float = 0.0, prototyped;
    }
    messages {
        /// Set how many calls a second are allowed in the long run.
        fn set_fill_rate(self: Ref<Rate_limit>, value: Float) -> Void as pool_admin, task, prototyped;
        /// Set how many calls may come at once.
        fn set_burst_size(self: Ref<Rate_limit>, value: Float) -> Void as pool_admin, task, prototyped;
        /// Let a client share it no longer.
        fn remove_caller(self: Ref<Rate_limit>, caller: Ref<Caller>) -> Void as pool_admin, task, prototyped;
        /// Let a client share it.
        fn add_caller(self: Ref<Rate_limit>, caller: Ref<Caller>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    /// The log of events: who did what, when, and what the pool looked like at any moment. A moment is a position of
    /// the log, a time (`2026-11-22T19:56:26Z`), or how long ago (`90s`, `15m`, `2h`, `7d`).
    log, nothing_implied, no_events, extension;
    fields {}
    messages {
        /// Say where the log ends: position, lineage, time and hash of its newest row.
        fn get_head() -> Map<String, String> as read_only, extension;
        /// Give the events behind a position, oldest first: who, from where, which message, which changes. The filter
        /// may name class, object, principal, message, kind, outcome, since and until.
        fn get_events(filter: Map<String, String>, after: Int, limit: Int = 100) -> Set<AnyRecord> as pool_operator ![INVALID_VALUE], extension;
        /// Give each change of an object, or of one field of it, with its author, oldest first.
        fn get_history(class: String, ref: String, field: String = "", after: Int = 0, limit: Int = 1000) -> Set<AnyRecord> as read_only ![HANDLE_INVALID, INVALID_VALUE], extension;
        /// Give an object's record as it was.
        fn get_record_at(class: String, ref: String, at: String) -> AnyRecord as read_only ![HANDLE_INVALID, INVALID_VALUE], extension;
        /// Give all records of a class as they were, by reference.
        fn get_all_records_at(class: String, at: String) -> Map<String, AnyRecord> as read_only ![INVALID_VALUE], extension;
        /// Say which objects came, went or changed between two moments, with the old and new values.
        fn diff(from: String, to: String) -> Set<AnyRecord> as read_only ![INVALID_VALUE], extension;
        /// Give the hash of the whole state as it was: two servers with the same state give the same.
        fn get_state_hash(at: String) -> String as read_only ![INVALID_VALUE], extension;
    }
}

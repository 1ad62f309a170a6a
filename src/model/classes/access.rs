//! Who calls and what happens: sessions, users, roles, tasks, events, messages, blobs, secrets.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    session, by(pool_admin), no_get_all, no_events;
    fields {
        RO uuid: String;
        RO this_host: Ref<host>;
        RO this_user: Ref<user>;
        RO last_active: DateTime;
        RO pool: Bool;
        RW other_config: Map<String, String> = {};
        RO is_local_superuser: Bool = false;
        RO subject: Ref<subject> = null;
        RO validation_time: DateTime = epoch;
        RO auth_user_sid: String = "";
        RO auth_user_name: String = "";
        CO rbac_permissions: Set<String> = {};
        RO tasks: Set<Ref<task>> => task.session;
        CO parent: Ref<session> = null;
        RO originator: String = "";
        RO client_certificate: Bool = false;
        /// When it began: it ends a fixed time later, used or not.
        RO began: DateTime = epoch, internal;
    }
    messages {
        fn logout_subject_identifier(subject_identifier: String) -> Void as pool_operator;
        fn get_all_subject_identifiers() -> Set<String> as read_only;
        fn local_logout() -> Void as pool_admin;
        fn create_from_db_file(filename: String) -> Ref<session> as local_root;
        fn slave_local_login_with_password(uname: String, pwd: String) -> Ref<session> as pool_admin, no_session;
        fn change_password(old_pwd: String, new_pwd: String) -> Void as local_root;
        fn logout() -> Void as read_only;
        fn login_with_password(uname: String, pwd: String, version: String = "", originator: String = "") -> Ref<session> as read_only ![SESSION_AUTHENTICATION_FAILED, HOST_IS_SLAVE], no_session;
    }
}

class! {
    auth, nothing_implied, no_events;
    fields {
    }
    messages {
        fn get_group_membership(subject_identifier: String) -> Set<String> as read_only;
        fn get_subject_information_from_identifier(subject_identifier: String) -> Map<String, String> as read_only;
        fn get_subject_identifier(subject_name: String) -> String as read_only;
    }
}

class! {
    subject, by(pool_admin), create, destroy;
    fields {
        RO uuid: String;
        CO subject_identifier: String = "";
        CO other_config: Map<String, String> = {};
        RO roles: Set<Ref<role>> = {};
    }
    messages {
        fn get_permissions_name_label(self: Ref<subject>) -> Set<String> as read_only, task;
        fn remove_from_roles(self: Ref<subject>, role: Ref<role>) -> Void as pool_admin, task;
        fn add_to_roles(self: Ref<subject>, role: Ref<role>) -> Void as pool_admin, task;
    }
}

class! {
    role;
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        CO subroles: Set<Ref<role>> = {};
        RO is_internal: Bool = false;
    }
    messages {
        fn get_by_permission_name_label(label: String) -> Set<Ref<role>> as read_only;
        fn get_by_permission(permission: Ref<role>) -> Set<Ref<role>> as read_only;
        fn get_permissions_name_label(self: Ref<role>) -> Set<String> as read_only;
        fn get_permissions(self: Ref<role>) -> Set<Ref<role>> as read_only;
    }
}

class! {
    task;
    enums {
        task_allowed_operations: "cancel" "destroy";
        task_status_type: "pending" "success" "failure" "cancelling" "cancelled";
    }
    fields {
        RO uuid: String;
        RO name_label: String = "";
        RO name_description: String = "";
        RO allowed_operations: Set<task_allowed_operations> = {};
        RO current_operations: Map<String, task_allowed_operations> = {};
        RO created: DateTime;
        RO finished: DateTime;
        RO status: task_status_type;
        RO resident_on: Ref<host>;
        RO progress: Float;
        RO r#type: String;
        RO result: String;
        RO error_info: Set<String>;
        RO other_config: Map<String, String> = {};
        RO subtask_of: Ref<task> = null;
        RO subtasks: Set<Ref<task>> => task.subtask_of;
        RO backtrace: String = "()";
        /// How far the operation had come when it ended; `progress` is 1 then.
        RO progress_at_end: Float = 0.0, extension;
        RO session: Ref<session> = null, internal;
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
        /// When the operation is ended with an error if it has not ended by itself.
        RO deadline: DateTime = epoch, internal;
        /// Somebody waits on the line; the task goes soon after its end.
        RO synchronous: Bool = false, internal;
        /// The disks that the operation makes, writes or removes, decided when it began: see `operation::Disk`.
        RO disks: String = "", internal;
    }
    messages {
        fn set_other_config(self: Ref<task>, value: Map<String, String>) -> Void as read_only, prototyped;
        fn remove_from_other_config(self: Ref<task>, key: String) -> Void as read_only, prototyped;
        fn add_to_other_config(self: Ref<task>, key: String, value: String) -> Void as read_only, prototyped;
        fn set_error_info(self: Ref<task>, value: Set<String>) -> Void as read_only;
        fn set_result(self: Ref<task>, value: String) -> Void as read_only;
        fn set_progress(self: Ref<task>, value: Float) -> Void as read_only;
        fn set_status(self: Ref<task>, value: task_status_type) -> Void as read_only;
        fn cancel(task: Ref<task>) -> Void as read_only ![OPERATION_NOT_ALLOWED];
        fn destroy(self: Ref<task>) -> Void as read_only;
        fn create(label: String, description: String = "") -> Ref<task> as read_only;
    }
}

class! {
    event, nothing_implied, no_events;
    enums {
        event_operation: "add" "del" "mod";
    }
    fields {
        RO snapshot: AnyRecord;
        CO id: Int;
        CO timestamp: DateTime, deprecated;
        CO class: String;
        CO operation: event_operation;
        CO r#ref: String;
        CO obj_uuid: String, deprecated;
    }
    messages {
        fn inject(class: String, ref: String) -> String as read_only;
        fn get_current_id() -> Int as read_only;
        fn from(classes: Set<String>, token: String, timeout: Float) -> EventBatch as read_only ![EVENT_FROM_TOKEN_PARSE_FAILURE, EVENT_SUBSCRIPTION_PARSE_FAILURE];
        fn next() -> Set<Record<event>> as read_only ![SESSION_NOT_REGISTERED, EVENTS_LOST, EVENT_SUBSCRIPTION_PARSE_FAILURE], deprecated;
        fn unregister(classes: Set<String>) -> Void as read_only, deprecated;
        fn register(classes: Set<String>) -> Void as read_only, deprecated;
    }
}

class! {
    user, by(pool_admin), create, destroy, no_get_all, no_events, deprecated;
    fields {
        RO uuid: String;
        CO short_name: String;
        RW fullname: String;
        RW other_config: Map<String, String> = {};
        /// What the user may do; the local superuser needs none.
        RW roles: Set<Ref<role>> = {}, extension;
        /// May do everything, as on the machine itself.
        RO is_local_superuser: Bool = false, extension;
        /// Where the vault keeps the hash of the password, and what that must hash to; "" if none was set.
        RO password: String = "", internal;
    }
    messages {
        /// Give the user a password; whoever was logged in with the old one stays so.
        fn set_password(self: Ref<user>, new_pwd: String) -> Void as pool_admin, extension;
    }
}

class! {
    message, nothing_implied;
    enums {
        cls: "VM" "Host" "SR" "Pool" "VMPP" "VMSS" "PVS_proxy" "VDI" "Certificate";
    }
    fields {
        RO uuid: String;
        RO name: String;
        RO priority: Int;
        RO cls: cls;
        RO obj_uuid: String;
        RO timestamp: DateTime;
        RO body: String;
    }
    messages {
        fn get_all_records_where(expr: String) -> Map<Ref<message>, Record<message>> as read_only;
        fn get_all_records() -> Map<Ref<message>, Record<message>> as read_only;
        fn get_by_uuid(uuid: String) -> Ref<message> as read_only;
        fn get_record(self: Ref<message>) -> Record<message> as read_only;
        fn get_since(since: DateTime) -> Map<Ref<message>, Record<message>> as read_only;
        fn get_all() -> Set<Ref<message>> as read_only;
        fn get(cls: cls, obj_uuid: String, since: DateTime) -> Map<Ref<message>, Record<message>> as read_only;
        fn destroy_all(filters: Map<String, String>) -> Void as pool_operator, prototyped;
        fn destroy_many(messages: Set<Ref<message>>) -> Void as pool_operator, prototyped;
        fn destroy(self: Ref<message>) -> Void as pool_operator;
        fn create(name: String, priority: Int, cls: cls, obj_uuid: String, body: String) -> Ref<message> as pool_operator;
    }
}

class! {
    secret, by(pool_operator), create, destroy, no_events, hidden;
    fields {
        RO uuid: String;
        RW value: String;
        RW other_config: Map<String, String> = {};
    }
}

class! {
    blob, by(pool_operator);
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        RO size: Int;
        RW public: Bool = false;
        CO last_updated: DateTime;
        CO mime_type: String;
    }
    messages {
        fn destroy(self: Ref<blob>) -> Void as pool_operator, task;
        fn create(mime_type: String, public: Bool) -> Ref<blob> as pool_operator, task;
    }
}

class! {
    Caller, by(pool_admin), create, destroy, prototyped;
    fields {
        RO uuid: String, prototyped;
        RW name_label: String = "", prototyped;
        RW name_description: String = "", prototyped;
        CO user_agent: String = "", prototyped;
        CO client_ip: String = "", prototyped;
        RO last_access: DateTime = epoch, prototyped;
        RO groups: Set<String> = {}, prototyped;
        RO rate_limit: Ref<Rate_limit> = null, prototyped;
        RO auto_registered: Bool = false, prototyped;
    }
    messages {
        fn query_all_usage() -> Set<Set<String>> as pool_operator, task, prototyped;
        fn query_group_call_count(group: String) -> Int as pool_operator, task, prototyped;
        fn query_group_token_usage(group: String) -> Float as pool_operator, task, prototyped;
        fn query_call_count(self: Ref<Caller>) -> Int as pool_operator, task, prototyped;
        fn query_token_usage(self: Ref<Caller>) -> Float as pool_operator, task, prototyped;
        fn remove_group(self: Ref<Caller>, group: String) -> Void as pool_operator, task, prototyped;
        fn add_group(self: Ref<Caller>, group: String) -> Void as pool_operator, task, prototyped;
    }
}

class! {
    Rate_limit, by(pool_admin), create, destroy, prototyped;
    fields {
        RO uuid: String, prototyped;
        RW name_label: String = "", prototyped;
        RW name_description: String = "", prototyped;
        RO callers: Set<Ref<Caller>> => Caller.rate_limit, prototyped;
        CO burst_size: Float = 0.0, prototyped;
        CO fill_rate: Float = 0.0, prototyped;
    }
    messages {
        fn set_fill_rate(self: Ref<Rate_limit>, value: Float) -> Void as pool_admin, task, prototyped;
        fn set_burst_size(self: Ref<Rate_limit>, value: Float) -> Void as pool_admin, task, prototyped;
        fn remove_caller(self: Ref<Rate_limit>, caller: Ref<Caller>) -> Void as pool_admin, task, prototyped;
        fn add_caller(self: Ref<Rate_limit>, caller: Ref<Caller>) -> Void as pool_admin, task, prototyped;
    }
}

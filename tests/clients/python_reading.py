"""The Python SDK logs in, reads, and is refused."""

import xmlrpc.client

from harness import case
from sdk import NULL, default_sr, discard, failure, machine, run_over_every_transport, same, template_of


@case
def login_takes_two_three_and_four_arguments(client):
    for more in [(), ("1.0",), ("1.0", "a test")]:
        session = client.login(*more)
        assert session.handle.startswith("OpaqueRef:"), session.handle
        session.xenapi.session.logout()


@case
def a_wrong_password_is_refused(client):
    session = client.open_session()
    error = failure(session.login_with_password, "root", "wrong")
    same(error[0], "SESSION_AUTHENTICATION_FAILED")


@case
def the_sdk_finds_the_api_version(client):
    major, minor = client.login().API_version.split(".")
    assert int(major) >= 2 and int(minor) >= 0


@case
def a_session_knows_its_host(client):
    host = client.x.session.get_this_host(client.session.handle)
    assert host in client.x.host.get_all()


@case
def after_logout_the_reference_is_invalid(client):
    session = client.login()
    handle = session.handle
    session.xenapi.session.logout()
    answer = client.session.VM.get_all(handle)
    same(answer["Status"], "Failure")
    same(answer["ErrorDescription"][0], "SESSION_INVALID")


@case
def the_sdk_logs_in_again_when_its_session_has_ended(client):
    session = client.login()
    client.session.session.logout(session.handle)
    assert session.xenapi.pool.get_all()


@case
def a_login_leaves_other_sessions_alone(client):
    first, second = client.login(), client.login()
    assert first.handle != second.handle
    second.xenapi.session.logout()
    same(client.session.pool.get_all(first.handle)["Status"], "Success")


@case
def a_new_pool_has_what_clients_look_for(client):
    x = client.x
    same(len(x.pool.get_all()), 1)
    host = x.pool.get_master(x.pool.get_all()[0])
    same(x.host.get_all(), [host])
    assert any(vm["is_control_domain"] and vm["domid"] == "0" for vm in x.VM.get_all_records().values())
    assert any(vm["is_a_template"] for vm in x.VM.get_all_records().values())
    types = {sr["type"] for sr in x.SR.get_all_records().values()}
    assert "iso" in types and len(types) > 1, types
    assert x.SR.get_record(default_sr(x))["PBDs"]
    assert all(pif["network"] in x.network.get_all() for pif in x.PIF.get_all_records().values())
    assert x.PIF.get_all()


@case
def the_product_version_is_dotted_numbers(client):
    host = client.x.host.get_all()[0]
    version = client.x.host.get_software_version(host)["product_version"]
    assert len([int(part) for part in version.split(".")]) >= 2, version


@case
def values_have_the_types_that_the_sdk_expects(client):
    x = client.x
    vm = x.VM.get_record(template_of(x))
    assert isinstance(vm["VCPUs_max"], str) and int(vm["VCPUs_max"]) > 0
    assert isinstance(vm["is_a_template"], bool)
    assert isinstance(vm["other_config"], dict) and isinstance(vm["tags"], list)
    assert isinstance(vm["HVM_shadow_multiplier"], float)
    assert isinstance(vm["snapshot_time"], xmlrpc.client.DateTime)
    same(vm["snapshot_time"].value, "19700101T00:00:00Z")
    same(vm["snapshot_of"], NULL)
    same(vm["name_description"], x.VM.get_name_description(template_of(x)))


@case
def records_are_the_same_whichever_way_they_are_read(client):
    x = client.x
    for name in ["pool", "host", "SR", "network", "PIF", "VM", "VDI", "VBD", "VIF", "PBD"]:
        messages = getattr(x, name)
        records = messages.get_all_records()
        same(sorted(records), sorted(messages.get_all()))
        for ref, record in records.items():
            same(messages.get_by_uuid(record["uuid"]), ref)
            same(messages.get_uuid(ref), record["uuid"])
            assert set(messages.get_record(ref)) == set(record), name


@case
def objects_are_found_by_name(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "name to find")
    same(x.VM.get_by_name_label("name to find"), [vm])
    same(x.VM.get_by_name_label("no such name"), [])
    x.VM.destroy(vm)


@case
def messages_are_found_by_an_expression(client):
    x = client.x
    uuid = x.pool.get_uuid(x.pool.get_all()[0])
    message = x.message.create("A_TEST", "3", "Pool", uuid, "for a test")
    found = x.message.get_all_records_where('field "name" = "A_TEST"')
    same(list(found), [message])
    same(found[message]["body"], "for a test")
    x.message.destroy(message)
    same(x.message.get_all_records_where('field "name" = "A_TEST"'), {})


@case
def names_keep_every_character(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "x")
    for name in ["", " two  blanks ", "<&>\"']]>", "Grüße, 世界 🐍", "line\nbreak\ttab"]:
        x.VM.set_name_label(vm, name)
        same(x.VM.get_name_label(vm), name)
    x.VM.destroy(vm)


@case
def a_message_in_the_wrong_state_names_both_states(client):
    x = client.x
    vm = machine(x, "states")
    same(failure(x.VM.clean_shutdown, vm), ["VM_BAD_POWER_STATE", vm, "running", "halted"])
    x.VM.start(vm, False, False)
    same(failure(x.VM.start, vm, False, False), ["VM_BAD_POWER_STATE", vm, "halted", "running"])
    same(failure(x.VM.unpause, vm), ["VM_BAD_POWER_STATE", vm, "paused", "running"])
    discard(x, vm)


@case
def an_unknown_reference_is_named(client):
    ref = "OpaqueRef:00000000-0000-4000-8000-000000000000"
    same(failure(client.x.VM.get_record, ref), ["HANDLE_INVALID", "VM", ref])
    same(failure(client.x.VM.start, ref, False, False), ["HANDLE_INVALID", "VM", ref])
    same(failure(client.x.VM.get_record, "not a reference"), ["HANDLE_INVALID", "VM", "not a reference"])


@case
def an_unknown_message_is_named(client):
    same(failure(client.x.VM.no_such), ["MESSAGE_METHOD_UNKNOWN", "VM.no_such"])
    same(failure(client.x.no_such.get_all), ["MESSAGE_METHOD_UNKNOWN", "no_such.get_all"])


@case
def a_wrong_number_of_arguments_is_counted(client):
    same(failure(client.x.VM.get_record), ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "2", "1"])
    error = failure(client.x.VM.get_record, NULL, "more")
    same(error, ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "2", "3"])


@case
def a_map_takes_a_key_once(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "maps")
    x.VM.add_to_other_config(vm, "key", "value")
    error = failure(x.VM.add_to_other_config, vm, "key", "other")
    same((error[0], error[1], error[2], error[4]), ("MAP_DUPLICATE_KEY", "VM", "other_config", "key"))
    same(x.VM.get_other_config(vm)["key"], "value")
    x.VM.remove_from_other_config(vm, "key")
    x.VM.remove_from_other_config(vm, "key")
    assert "key" not in x.VM.get_other_config(vm)
    x.VM.destroy(vm)


@case
def a_set_holds_a_value_once(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "sets")
    for _ in range(2):
        x.VM.add_tags(vm, "tag")
    same(x.VM.get_tags(vm), ["tag"])
    x.VM.remove_tags(vm, "tag")
    same(x.VM.get_tags(vm), [])
    x.VM.destroy(vm)


@case
def an_unknown_value_of_an_enum_is_refused(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "enums")
    failure(x.VM.set_actions_after_crash, vm, "no_such_action")
    x.VM.destroy(vm)


if __name__ == "__main__":
    run_over_every_transport("python, reading")

"""Drives an array by infinisdk, the vendor's public client: client.py DEED PORT CERTIFICATE. Asserts what it finds."""

import sys

from infinisdk import InfiniBox
from infinisdk.core.exceptions import APICommandFailed, APITransportFailure

deed, port, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def box(name="anna", password="correct horse"):
    found = InfiniBox(("127.0.0.1", port), auth=(name, password), use_ssl=True)
    # It verifies nothing by itself. The certificate is its own authority.
    found.api._session.verify = certificate
    found.api.set_request_default_timeout(20)
    return found


def fails(with_status, with_code, do):
    try:
        do()
    except APICommandFailed as error:
        assert error.status_code == with_status, error
        assert error.error_code == with_code, error
    else:
        raise AssertionError("it was let in")


def is_cut(do):
    try:
        do()
    except APITransportFailure as error:
        return str(error)
    raise AssertionError("it was answered")


def tour():
    system = box()
    answer = system.login().get_result()
    assert answer["name"] == "anna" and answer["roles"] == ["ADMIN"], answer
    assert answer["email"] == "anna@array.lab" and isinstance(answer["id"], int), answer
    assert system.current_user.get_roles() == ["ADMIN"]
    assert system.get_name() == "box1"
    assert system.get_version() == "8.3.0.0"
    assert system.get_serial() == 1001
    assert system.is_active()
    assert system.compat.has_auth_sessions() and system.compat.has_sso()
    assert system.events.get_levels() == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    posted = [
        system.events.create_custom_event(
            description="Support session '{session}' started",
            data=[{"name": "session", "type": "string", "value": f"case {number}"}],
        )
        for number in range(5)
    ]
    last = system.events.get_last_events(3)
    assert [event.id for event in last] == [event.id for event in posted[2:]], last
    assert last[-1].get_description() == "Support session 'case 4' started"
    assert last[-1].get_code() == "CUSTOM_INFO_EVENT"
    assert last[-1].get_username() == "anna"
    assert last[-1].get_visibility() == "CUSTOMER"
    assert [event.id for event in system.events.get_events(posted[3].id)] == [posted[3].id, posted[4].id]
    fails(413, "DATA_TOO_LARGE", lambda: system.events.create_custom_event(description="x" * 100_001))
    system.logout()
    with system.api.disabled_login_refresh_context():
        fails(401, "AUTHENTICATION_REQUIRED", lambda: system.api.get("events"))


def wrong():
    fails(401, "AUTHENTICATION_FAILED", lambda: box(password="wrong horse").login())
    fails(401, "AUTHENTICATION_FAILED", lambda: box(name="nobody").login())


def locked():
    fails(403, "USER_LOCKED", lambda: box().login())


def reader():
    system = box("eva", "reads only")
    system.login()
    assert system.current_user.get_roles() == ["READ_ONLY"]
    fails(403, "PERMISSION_REQUIRED", system.events.create_custom_event)


def forgotten():
    system = box()
    system.login()
    for _ in range(4):
        assert system.api.get("system/name").get_result() == "box1"


def approval():
    system = box()
    # It approves of everything by itself, unless it is told not to.
    system.login()
    with system.api.get_unapproved_context():
        fails(403, "APPROVAL_REQUIRED", system.events.create_custom_event)
    with system.api.get_approved_context():
        system.events.create_custom_event()


def forged():
    assert "certificate" in is_cut(box().login).lower()


def down():
    assert "refused" in is_cut(box().login).lower()


def broken():
    fails(503, "INTERNAL_ERROR", lambda: box().login())


globals()[deed]()
print("done")

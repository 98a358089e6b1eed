"""`triagem keys`: creates a key and shows its secret once, lists keys without secrets, revokes keys."""

import json

import pytest
from sqlalchemy import text

from tests.support.command import Triagem, assert_one_line
from triagem.db import Database
from triagem.db.auth import Scope, find_key


def test_the_secret_alone_is_on_standard_output(triagem: Triagem, database: Database) -> None:
    created = triagem("keys", "create", "shop", "--scope", "enqueue", "--scope", "read")

    key = find_key(database, created.out.removesuffix("\n"))
    assert key is not None
    assert key.name == "shop"
    assert key.scopes == {Scope.ENQUEUE, Scope.READ}
    assert "not shown again" in created.err


def test_a_list_shows_no_secret(triagem: Triagem) -> None:
    secret = json.loads(triagem("keys", "create", "shop", "--scope", "read", "--json").out)["secret"]

    table, listed = triagem("keys", "list"), triagem("keys", "list", "--json")
    assert "shop" in table.out
    assert secret not in table.out + listed.out
    (row,) = json.loads(listed.out)
    assert (row["name"], row["scopes"], row["revoked_at"]) == ("shop", ["read"], None)


def test_a_revoked_key_is_invalid_and_cannot_be_revoked_again(triagem: Triagem, database: Database) -> None:
    secret = triagem("keys", "create", "shop", "--scope", "read").out.strip()

    assert triagem("keys", "revoke", "1").out == "key 1 is revoked\n"
    assert find_key(database, secret) is None
    assert json.loads(triagem("keys", "list", "--json").out)[0]["revoked_at"]
    assert_one_line(triagem("keys", "revoke", "1"), "triagem keys list")


@pytest.mark.parametrize(
    "arguments", [("shop",), ("shop", "--scope", "write"), (" ", "--scope", "read"), ("\x1b[2J", "--scope", "read")]
)
def test_invalid_arguments_are_a_usage_error(triagem: Triagem, arguments: tuple[str, ...]) -> None:
    assert triagem("keys", "create", *arguments).status == 2


def test_an_unknown_scope_of_a_later_release_is_ignored(triagem: Triagem, database: Database) -> None:
    secret = triagem("keys", "create", "shop", "--scope", "read").out.strip()
    with database.autocommit() as connection:
        connection.execute(text("UPDATE api_keys SET scopes = scopes || '{dream}'"))
    key = find_key(database, secret)
    assert key
    assert key.scopes == {Scope.READ}


def test_an_active_key_keeps_its_name_to_itself(triagem: Triagem) -> None:
    create = ("keys", "create", "shop", "--scope", "read")
    triagem(*create)
    assert_one_line(triagem(*create), "already named 'shop'")
    triagem("keys", "revoke", "1")
    assert triagem(*create).status == 0


def test_a_key_expires(triagem: Triagem, database: Database) -> None:
    secret = triagem("keys", "create", "shop", "--scope", "read", "--expires-days", "30").out.strip()
    assert find_key(database, secret) is not None
    assert json.loads(triagem("keys", "list", "--json").out)[0]["expires_at"]

    with database.autocommit() as connection:
        connection.execute(text("UPDATE api_keys SET expires_at = now()"))
    assert find_key(database, secret) is None


def test_the_last_use_of_a_key_is_listed(triagem: Triagem, database: Database) -> None:
    secret = triagem("keys", "create", "shop", "--scope", "read").out.strip()
    assert json.loads(triagem("keys", "list", "--json").out)[0]["last_used_at"] is None
    find_key(database, secret)
    assert json.loads(triagem("keys", "list", "--json").out)[0]["last_used_at"]


def test_a_key_of_a_source_is_for_submitting_alone(triagem: Triagem) -> None:
    assert triagem("keys", "create", "shop", "--scope", "read", "--source", "shop").status == 2
    created = triagem("keys", "create", "shop", "--scope", "enqueue", "--source", "shop")
    assert (created.status, "enqueue, only for source shop." in created.err) == (0, True)

"""`triagem keys`: who may use the gateway, and for what."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, console, errors, print_json, print_rows
from triagem.contracts.errors import InvalidInput

keys = typer.Typer(no_args_is_help=True, help="API keys of the gateway.")

_COLUMNS = ("id", "name", "scopes", "created_at", "revoked_at")
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for you to find it again.")],
    *,
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it is good for, once each: `enqueue` hands tickets in, `read` asks for results, `review` "
            "gives verdicts, `admin` does all and forgets."
        ),
    ],
    as_json: _Json = False,
) -> None:
    """Make a key. Its secret is printed on standard output, once: only a hash of it is kept.

    Example: `KEY=$(triagem keys create shop --scope enqueue --scope read)`
    """
    from triagem.db.keys import Scope

    if unknown := set(scope) - set(Scope):
        raise typer.BadParameter(f"{min(unknown)!r} is none of {', '.join(Scope)}", param_hint="--scope")
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise typer.BadParameter("expected up to 100 printable characters", param_hint="NAME")
    database = servers.database()
    from triagem.db.keys import create as make

    with database:
        key, secret = make(database, name, map(Scope, scope))
    if as_json:
        print_json(as_mapping(key) | {"scopes": sorted(key.scopes), "secret": secret})
        return
    typer.echo(secret)
    said = f"key {key.id}, {key.name}, may {', '.join(sorted(key.scopes))}; keep it, it is not shown again"
    errors.print(said, markup=False, highlight=False, soft_wrap=True)


@keys.command("list")
def list_keys(*, as_json: _Json = False) -> None:
    """List all keys, revoked ones too, without their secrets.

    Example: `triagem keys list`
    """
    database = servers.database()
    from triagem.db.keys import keys as known

    with database:
        rows = [as_mapping(key) | {"scopes": sorted(key.scopes)} for key in known(database)]
    if as_json:
        print_json(rows)
        return
    print_rows([row | {"scopes": ", ".join(row["scopes"])} for row in rows], _COLUMNS, Format.TABLE)
    if not rows:
        errors.print("no keys: `triagem keys create NAME --scope enqueue` makes one", highlight=False)


@keys.command()
def revoke(
    key_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1, metavar="ID", help="As `triagem keys list` says.")],
    *,
    as_json: _Json = False,
) -> None:
    """Take a key back. Running gateways refuse it within TRIAGEM_GATEWAY_KEY_CACHE_S, 10 seconds.

    Example: `triagem keys revoke 3`
    """
    database = servers.database()
    from triagem.db.keys import revoke as take_back

    with database:
        done = take_back(database, key_id)
    if not done:
        raise InvalidInput(f"no key {key_id} that is not revoked already: see `triagem keys list`")
    if as_json:
        print_json({"revoked": key_id})
    else:
        console.print(f"key {key_id} is revoked", highlight=False)

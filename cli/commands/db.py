"""`triagem db`: migrations."""

import typer

from cli import servers
from cli.output import console

db = typer.Typer(no_args_is_help=True, help="The database: upgrade.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db, name="db")


@db.command()
def upgrade() -> None:
    """Create or bring up to date tables, views and the read-only role `triagem_reader`.

    Example: `triagem db upgrade`
    """
    database = servers.database()
    from db.upgrade import upgrade

    with database:
        before, after = upgrade(database)
    done = "is up to date" if before == after else f"went from {before or 'nothing'} to {after}"
    console.print(f"the database {done}", highlight=False)

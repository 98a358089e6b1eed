"""The demo's last lines: how to activate the environment, and the next commands."""

from pathlib import Path

from triagem.cli.commands.demo import next_steps


def commands(environment: Path | None, *, keep: bool) -> list[str]:
    """The commands of the steps, without their comments."""
    lines = next_steps("demo-1", "T-1", environment=environment, keep=keep)
    return [line.partition("#")[0].strip() for line in lines]


def test_the_first_step_activates_the_environment_if_the_command_is_not_on_the_path() -> None:
    assert commands(Path(".venv"), keep=False)[:2] == ["source .venv/bin/activate", "triagem up"]


def test_a_command_on_the_path_needs_no_activation() -> None:
    assert commands(None, keep=False)[0] == "triagem up"


def test_a_demo_that_keeps_running_needs_no_second_start() -> None:
    assert commands(None, keep=True)[0] == "triagem results --source demo-1 --band review"


def test_the_last_line_names_the_tutorial() -> None:
    page = next_steps("demo-1", "T-1", environment=None, keep=False)[-1].split()[0]

    assert (Path(__file__).parents[2] / page).is_file()

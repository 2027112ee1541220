"""What every command prints goes through one module."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

from fluxbooth.cli import output
from fluxbooth.cli.main import COMMANDS
from fluxbooth.cli.options import Parser


def leaves(parser: Parser) -> Iterator[Parser]:
    """The commands below a command that have none below them."""
    parser._add_flags()
    below = [
        command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]
    for command in below:
        yield from leaves(command)
    if not below:
        yield parser


def test_every_command_answers_programs_but_the_one_that_prints_a_script() -> None:
    without = [
        command.prog
        for name, (_, flags) in COMMANDS.items()
        for command in leaves(Parser(prog=name, flags=flags))
        if output.FLAG not in command._option_string_actions
    ]
    assert without == ["completion"]


def test_results_are_printed_in_one_place() -> None:
    """An event is no result: `progress` prints a line for each."""
    folder = Path(output.__file__).parent
    prints = {
        path.stem
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "print"
        and not any(ast.unparse(word.value) == "sys.stderr" for word in node.keywords)
    }
    assert prints == {"output", "progress", "options"}  # `completion` prints its script

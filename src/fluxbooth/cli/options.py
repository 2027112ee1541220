"""Reading of commands: flags from the fields of the specs, one sentence for what is not understood,
completion for shells."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fluxbooth.errors import InputError, did_you_mean
from fluxbooth.types import Json

if TYPE_CHECKING:
    from fluxbooth.specs import Spec

# what the fields of the specs are called on the command line, where not by their own name
FLAG_NAMES = {
    "class_name": "name",
    "resolutions": "resolution",
    "loras": "lora",
    "references": "reference",
    "sample_prompts": "sample-prompt",
    "trackers": "tracker",
}
SHELLS = ("bash", "zsh", "fish")
Flags = Callable[[argparse.ArgumentParser], None]


class Parser(argparse.ArgumentParser):
    """As argparse's, but what is not understood is an InputError, with what was probably meant.

    `flags` adds a command's flags once it is the one that was named, for they may take a moment to
    import. Of the options, `parser` is that of the command, `run` what it does: None if it only has
    commands below it.
    """

    def __init__(self, *args: Any, flags: Flags | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._flags = flags
        self.set_defaults(parser=self)
        # argcomplete looks at the flags before they are read
        if self.prog.rpartition(" ")[2] in os.environ.get("COMP_LINE", "").split():
            self._add_flags()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._add_flags()
        return super().parse_known_args(args, namespace)

    def _add_flags(self) -> None:
        flags, self._flags = self._flags, None
        if flags is not None:
            flags(self)

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        options, left = self.parse_known_args(arguments)
        if left:
            flag = next((text for text in left if text.startswith("-")), None)
            known = options.parser._option_string_actions  # argparse has no public name for it
            what = (
                f"There is no flag {flag}{did_you_mean(flag, known)}"
                if flag
                else f"{left[0]!r} is one argument too many"
            )
            options.parser.error(what)
        return options

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[0].upper()}{message[1:]}: see `{self.prog} --help`.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse's own, but for what it says."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        meant, use = did_you_mean(str(value), known), _either([repr(name) for name in known])
        if isinstance(action, argparse._SubParsersAction):
            raise InputError(f"There is no command {value!r}{meant}: use {use}.")
        raise InputError(
            f"{'/'.join(action.option_strings) or action.metavar} {value!r} will not "
            f"do{meant}: use {use}."
        )


def verbs(parser: argparse.ArgumentParser, *, needed: bool = True) -> Any:
    """The commands below a command. Named alone it lists them, unless they are not `needed`."""
    if needed:
        parser.set_defaults(run=None)
    return parser.add_subparsers(title="commands", metavar="COMMAND", dest="verb")


def spec_flags(
    parser: argparse.ArgumentParser, spec: type[Spec], *, without: Sequence[str] = ()
) -> None:
    """A flag for every field; values stay text, the spec itself checks them but for those that
    are of a few words. Options of the picture (`prompts/options.py`) stand apart."""
    from fluxbooth.prompts.options import OPTIONS

    apart = parser.add_argument_group("options of the picture")
    for name, field in spec.model_fields.items():
        if name in without:
            continue
        default = (
            f" (default: {field.default})"
            if field.default not in (None, (), False) and not field.is_required()
            else ""
        )
        of_picture = name in OPTIONS
        words = () if of_picture else spec.choices(name)  # those may be spelt in several ways
        kinds: dict[str, Any] = {"choices": words} if words else {"metavar": "VALUE"}
        if field.annotation is bool:
            kinds = {"action": "store_true", "default": None}
        elif name in ("loras", "references"):  # texts stand behind them, too
            kinds["action"] = "append"
        elif "tuple" in str(field.annotation):
            kinds |= {"action": "extend", "nargs": "+"}
        if of_picture and (told := spec.choices(name)):
            default += f" ({', '.join(told)})"
        added = (apart if of_picture else parser).add_argument(
            flag_of(name),
            dest=name,
            help=f"{field.description}{default}".replace("%", "%%"),
            **kinds,
        )
        if name == "base":
            complete_bases(added)


def complete_bases(action: argparse.Action) -> None:
    """Lets shells offer the names of the bases, beside files."""

    def offer(prefix: str, **_: Any) -> list[str]:
        from argcomplete.completers import FilesCompleter

        from fluxbooth.models.registry import BASES

        return [*BASES, *FilesCompleter()(prefix)]

    action.completer = offer  # type: ignore[attr-defined] (argcomplete looks for it)


def flag_of(field: str) -> str:
    return "--" + FLAG_NAMES.get(field, field).replace("_", "-")


def completion_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=completion, json=False)


def completion(options: argparse.Namespace) -> dict[str, Any]:
    """`fluxbooth completion SHELL`: a script for the shell to read when it starts."""
    import argcomplete

    print(argcomplete.shellcode(["fluxbooth"], shell=options.shell))
    return {}


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def given(options: argparse.Namespace, spec: type[Spec], *, without: Sequence[str] = ()) -> Json:
    return {
        name: getattr(options, name)
        for name in spec.model_fields
        if name not in without and getattr(options, name) is not None
    }


def read_config(path: str | None) -> Json:
    import tomllib

    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(
            f"The settings file {path} cannot be read ({error.strerror}): check --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The settings file {path} is not valid TOML: {error}.") from error

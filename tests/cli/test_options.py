"""The command line as a newcomer tries it: what is misspelt, left out, cut off, or half typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fluxbooth.cli.main import COMMANDS
from fluxbooth.cli.options import SHELLS
from tests.cli.test_main import QUICK, refused, run

GROUPS = {"lora": "convert", "key": "create", "account": "limits", "callbacks": "replay"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["trian"],
            "There is no command 'trian' (did you mean 'train'?): use 'demo', 'inspect', 'train'",
        ),
        (
            ["lora", "impot"],
            "There is no command 'impot' (did you mean 'import'?): use 'info', 'convert' or 'import'",
        ),
        (
            ["train", "photos", "--stps", "4"],
            "There is no flag --stps (did you mean '--steps'?): see `fluxbooth train --help`",
        ),
        (["plan", "--resolutoin", "512"], "(did you mean '--resolution'?)"),
        (["serve", "--prt", "1"], "(did you mean '--port'?)"),
        (
            ["lora", "convert", "a", "b", "--to", "kohia"],
            "--to 'kohia' will not do (did you mean 'kohya'?): use 'diffusers' or 'kohya'",
        ),
        (
            ["train", "photos", "--name", "man", "--tracker", "tensorbord"],
            "--tracker 'tensorbord' will not do (did you mean 'tensorboard'?)",
        ),
        (
            ["plan", "--base", "flux-devv"],
            "There is no base 'flux-devv' (did you mean 'flux-dev'?)",
        ),
        (["generate", "x", "--aspect-ratio", "1:2"], "--aspect-ratio '1:2' will not do: use"),
        (
            ["plan", "--vram", "much"],
            "Argument --vram: invalid float value: 'much': see `fluxbooth plan --help`",
        ),
        (["train", "--name", "man"], "Say which photos to train on, before the flags"),
        (["generate"], "Say what to draw"),
        (["enhance"], "Say which pictures, before the flags"),
        (
            ["enhance", "--film-grian"],
            "There is no flag --film-grian (did you mean '--film-grain'?)",
        ),
        (["generate", "x", "--only-upscale"], "The option only_upscale needs input_image"),
        (["generate", "x", "--style", "Nonsense"], "Style 'Nonsense' will not do: use 'Cinematic'"),
        (["inspect"], "are required: PHOTOS"),
        (["key", "create", "foo"], "'foo' is one argument too many"),
        (["completion", "fsh"], "SHELL 'fsh' will not do (did you mean 'fish'?)"),
    ],
)
def test_what_is_misspelt_is_guessed(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, *arguments, says=says)


def test_a_program_is_told_of_a_misspelt_flag_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "plan", "--vrm", "24", "--json")
    assert code == 2 and "--vram" in err
    assert json.loads(out)["error"] in err


def test_a_misspelt_setting_of_a_file_is_guessed(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.toml").write_text('class_name = "man"\nstep = 3\n')
    refused(
        capsys,
        "train",
        photos,
        "--config",
        tmp_path / "settings.toml",
        says="There is no setting 'step' (did you mean 'steps'?)",
    )


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_a_bare_command_lists_those_below_it(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *filter(None, [group]))
    assert code == 2 and not out
    assert GROUPS.get(group, "generate") in err and "required" not in err


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--nonsense"], ["a", "b"], ["--json", "--out"], ["\x00"], [""], ["-"]):
        code, _, err = run(capsys, command, *wrong, "--surely-not")
        assert code == 2, (wrong, err)
        assert err.startswith("fluxbooth: ") and "Traceback" not in err
    assert run(capsys, command, "--help")[0] == 0


def test_several_sample_prompts_stand_behind_one_flag(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, out = ("ohwx man at sea", "ohwx man in red"), tmp_path / "run"
    assert (
        run(
            capsys,
            "train",
            photos / "photo-01.png",
            *QUICK,
            "--steps",
            1,
            "--sample-prompt",
            *texts,
            "--out",
            out,
        )[0]
        == 0
    )
    assert len(list((out / "samples").glob("step-000001-*.png"))) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--json"],
        ["plan", "--vram", "24"],
        ["train", "--help"],
        ["inspect", "nowhere", "--json"],
    ],
)
def test_a_reader_that_goes_away_sees_no_traceback(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "fluxbooth", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == (0 if "--help" in arguments else 1)  # argparse cares for its own
    assert "Traceback" not in said and "BrokenPipe" not in said


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0 and "fluxbooth" in out
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=out, text=True, check=True)


def test_bash_completes_commands_flags_and_values() -> None:
    script = """
eval "$(fluxbooth completion bash)"
ask() { COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9; COMPREPLY=(); _python_argcomplete fluxbooth; echo "${COMPREPLY[@]}"; }
ask "fluxbooth tr"; ask "fluxbooth train --ra"; ask "fluxbooth train x --preset "; ask "fluxbooth lora convert a b --to k"
ask "fluxbooth key re"; ask "fluxbooth plan --base flux-s"
"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"],
        input=script,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["train"],
        ["--rank"],
        ["flux-lora-portrait", "flux-lora-focus", "flux-lora-fast"],
        ["kohya"],
        ["revoke"],
        ["flux-schnell"],
    ]

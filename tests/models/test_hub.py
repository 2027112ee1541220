"""`models pull` against a hub that speaks HTTP, with nano's folder in the place of FLUX.1-dev's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.models import hub as pull
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.models.registry import BASES
from tests.support import klein
from tests.support.hub import COMMIT, Hub, running
from tests.support.images import opened

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "repository"
    shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("reader"))
    (folder / "flux1-dev.safetensors").write_bytes(b"the same weights once more" * 1000)
    with running(Hub(folder, tokens={"hf_good": True, "hf_new": False})) as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING_FACE"))
    }
    return (
        kept
        | {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        | more
    )


def fluxbooth(
    hub: Hub, home: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fluxbooth", *arguments]
    return subprocess.run(
        command, env=environment(hub, home, **more), capture_output=True, text=True, check=False
    )


def refused(done: subprocess.CompletedProcess[str], *says: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert all(words in done.stderr for words in says), done.stderr
    assert "Traceback" not in done.stderr


def test_a_base_is_pulled_verified_and_used(hub: Hub, home: Path, tmp_path: Path) -> None:
    done = fluxbooth(hub, home, "models", "pull", "flux-dev", "--json", HF_TOKEN="hf_good")
    assert done.returncode == 0, done.stderr
    pulled = json.loads(done.stdout)
    folder = Path(pulled["folder"])
    assert pulled["revision"] == COMMIT == folder.name
    assert (folder / WEIGHTS).read_bytes() == (NANO / WEIGHTS).read_bytes()
    assert not (folder / "flux1-dev.safetensors").exists()
    assert "non-commercial" in done.stderr

    rows = {
        row["name"]: row
        for row in json.loads(fluxbooth(hub, home, "models", "--json").stdout)["models"]
    }
    assert rows["flux-dev"]["here"] and rows["flux-dev"]["folder"] == str(folder)
    assert not rows["flux-schnell"]["here"]

    before = len(hub.log)
    again = fluxbooth(hub, home, "models", "pull", "flux-dev", "--json", HF_TOKEN="hf_good")
    assert json.loads(again.stdout)["bytes"] == 0
    assert not [row for row in hub.log[before:] if row[1].startswith("/store/")]

    flags = (
        "--base",
        "flux-dev",
        "--steps",
        "1",
        "--width",
        "128",
        "--height",
        "128",
        "--out",
        str(tmp_path / "p"),
    )
    drawn = fluxbooth(
        hub,
        home,
        "generate",
        "a man",
        *flags,
        HF_HUB_OFFLINE="1",
        FLUXBOOTH_FLUX_DEV_LICENSE="noncommercial",
    )
    assert drawn.returncode == 0, drawn.stderr
    assert list((tmp_path / "p").glob("*.png"))


def test_a_base_whose_commit_is_not_known_stays_at_the_one_that_was_first_pulled(
    hub: Hub, home: Path, tmp_path: Path
) -> None:
    assert BASES["flux-krea"].revision is None
    hub.repository = BASES["flux-krea"].source
    stated = {"FLUXBOOTH_FLUX_DEV_LICENSE": "noncommercial", "HF_TOKEN": "hf_good"}
    for main in (COMMIT, "b" * 40):  # it moves between the two pulls
        hub.main = main
        pulled = json.loads(
            fluxbooth(hub, home, "models", "pull", "flux-krea", "--json", **stated).stdout
        )
        assert pulled["revision"] == COMMIT == Path(pulled["folder"]).name
    refs = home / "hub" / "models--black-forest-labs--FLUX.1-Krea-dev" / "refs"
    (refs / "main").write_text("b" * 40)  # as another program leaves it
    (row,) = [
        row
        for row in json.loads(fluxbooth(hub, home, "models", "--json").stdout)["models"]
        if row["name"] == "flux-krea"
    ]
    assert (row["here"], row["revision"], row["folder"]) == (True, COMMIT, pulled["folder"])
    flags = (
        "--base",
        BASES["flux-krea"].source,
        "--steps",
        "1",
        "--width",
        "64",
        "--height",
        "64",
        "--out",
        str(tmp_path / "p"),
    )
    drawn = fluxbooth(
        hub, home, "generate", "a man", *flags, "--json", HF_HUB_OFFLINE="1", **stated
    )
    assert drawn.returncode == 0, drawn.stderr
    recipe = json.loads(opened(json.loads(drawn.stdout)["pictures"][0]["path"]).info["fluxbooth"])
    assert (recipe["base"], recipe["base_revision"]) == ("flux-krea", COMMIT)


def test_a_pull_that_was_killed_goes_on_where_it_was(hub: Hub, home: Path) -> None:
    hub.stall_in = WEIGHTS
    command = [sys.executable, "-m", "fluxbooth", "models", "pull", "flux-dev"]
    env = environment(hub, home, HF_TOKEN="hf_good")
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert hub.stalled.wait(60)
        blobs = home / "hub" / "models--black-forest-labs--FLUX.1-dev" / "blobs"
        while not any(part.stat().st_size for part in blobs.glob("*.part")):
            assert process.poll() is None
        process.kill()
    hub.stall_in = None
    hub.resume.set()
    (arrived,) = [part.stat().st_size for part in blobs.glob("*.part")]
    done = fluxbooth(hub, home, "models", "pull", "flux-dev", "--json", HF_TOKEN="hf_good")
    assert done.returncode == 0, done.stderr
    assert hub.ranges(WEIGHTS) == [None, f"bytes={arrived}-"]
    assert (Path(json.loads(done.stdout)["folder"]) / WEIGHTS).read_bytes() == (
        NANO / WEIGHTS
    ).read_bytes()
    assert not list(blobs.glob("*.part"))


def test_without_a_token(hub: Hub, home: Path) -> None:
    done = fluxbooth(hub, home, "models", "pull", "flux-dev")
    refused(
        done,
        "there is no token here",
        f"{hub.address}/black-forest-labs/FLUX.1-dev",
        "HF_TOKEN",
        "fluxbooth models pull flux-dev",
    )
    assert not [row for row in hub.log if "resolve" in row[1]]


def test_with_a_licence_that_was_not_accepted(hub: Hub, home: Path) -> None:
    refused(
        fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_new"),
        "has not accepted the licence of flux-dev",
        hub.address,
    )


def test_with_a_token_that_is_none(hub: Hub, home: Path) -> None:
    refused(
        fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_old"),
        "does not accept your token",
    )


def test_what_is_damaged_on_the_way_never_gets_into_the_cache(hub: Hub, home: Path) -> None:
    hub.damaged = {WEIGHTS}
    refused(
        fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_good"),
        WEIGHTS,
        "not what the hub lists",
        code=1,
    )
    rows = json.loads(fluxbooth(hub, home, "models", "--json").stdout)["models"]
    assert [row["here"] for row in rows if row["name"] == "flux-dev"] == [False]
    hub.damaged = set()
    assert fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_good").returncode == 0


def test_what_is_damaged_on_the_disk_is_found(hub: Hub, home: Path) -> None:
    folder = Path(
        json.loads(
            fluxbooth(hub, home, "models", "pull", "flux-dev", "--json", HF_TOKEN="hf_good").stdout
        )["folder"]
    )
    for name in (WEIGHTS, "vae/config.json"):
        blob = (folder / name).resolve()
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
        refused(
            fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_good"),
            name,
            "not what the hub lists",
            code=1,
        )
        assert (
            fluxbooth(hub, home, "models", "pull", "flux-dev", HF_TOKEN="hf_good").returncode == 0
        )
        assert (folder / name).read_bytes() == (NANO / name).read_bytes()


def test_offline_and_out_of_reach(hub: Hub, home: Path) -> None:
    refused(
        fluxbooth(hub, home, "models", "pull", "flux-dev", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE"
    )
    refused(
        fluxbooth(hub, home, "models", "pull", "flux-dev", HF_ENDPOINT="http://127.0.0.1:9"),
        "cannot be reached",
        code=1,
    )
    refused(fluxbooth(hub, home, "models", "pull", "nano"), "on this machine already")
    refused(fluxbooth(hub, home, "models", "pull", "sdxl"), "There is no base 'sdxl'")


def test_a_disk_that_is_too_small(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    from fluxbooth import InputError, hardware

    monkeypatch.setattr(hardware, "free_disk", lambda path: 10 * 2**30)
    with pytest.raises(
        InputError,
        match=r"flux-dev needs 33\.9 GB more .* 10\.7 GB are free: make room, or set HF_HOME",
    ):
        pull._check_disk(BASES["flux-dev"], 33_900_000_000)
    pull._check_disk(BASES["flux-dev"], 0)


def test_half_a_base_is_not_here(hub: Hub, home: Path) -> None:
    folder = Path(
        json.loads(
            fluxbooth(hub, home, "models", "pull", "flux-dev", "--json", HF_TOKEN="hf_good").stdout
        )["folder"]
    )
    assert pull._whole(folder)
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(
        json.dumps(
            {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "missing.safetensors"}}
        )
    )
    assert not pull._whole(folder)
    index.unlink()
    (folder / WEIGHTS).resolve().unlink()
    assert not pull._whole(folder)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Hub]:
    """The weights of flux2-klein that draw, and those it is trained on."""
    row = BASES["flux2-klein"]
    hubs = [
        Hub(
            klein.folder(tmp_path / one.source.split("/")[1], distilled=not number, seed=number),
            repository=one.source,
            main=str(one.revision),
            commit=str(one.revision),
            gated=False,
        )
        for number, one in enumerate(row.sets)
    ]
    hubs[0].also = (hubs[1],)
    with running(hubs[0]) as hub:
        yield hub


def test_both_sets_of_weights_are_pulled(pair: Hub, home: Path) -> None:
    done = fluxbooth(pair, home, "models", "pull", "flux2-klein", "--json")
    assert done.returncode == 0, done.stderr
    assert "Apache-2.0" in done.stderr
    pulled, row = json.loads(done.stdout), BASES["flux2-klein"]
    assert (pulled["revision"], pulled["to_train"]["revision"]) == (
        row.revision,
        row.train_revision,
    )
    weights = [(Path(one["folder"]) / WEIGHTS).read_bytes() for one in (pulled, pulled["to_train"])]
    assert weights[0] != weights[1]
    encoder = "text_encoder/model.safetensors"
    assert [path for method, path, _ in pair.log if method == "GET" and path.endswith(encoder)] == [
        f"/{row.source}/resolve/{row.revision}/{encoder}",
        f"/store/{encoder}",
    ]  # once for both
    (shown,) = [
        one
        for one in json.loads(fluxbooth(pair, home, "models", "--json").stdout)["models"]
        if one["name"] == row.name
    ]
    assert shown["here"] and shown["train_here"]
    assert shown["train_folder"] == pulled["to_train"]["folder"]
    assert (Path(shown["folder"]) / "tokenizer" / "chat_template.jinja").is_file()
    shutil.rmtree(Path(shown["train_folder"]).parents[1])
    lines = fluxbooth(pair, home, "models").stdout
    assert f"trained on: {row.train_source}, not here" in lines
    assert "fluxbooth models pull flux2-klein\n" in lines

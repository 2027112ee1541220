"""Pictures that clients give: what of them is kept, what they cost, and where their work waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image
from sqlalchemy.orm import Session

from fluxbooth import picture_files
from fluxbooth.engine import worker
from fluxbooth.engine.device_pool import DevicePool, Refused
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.prompts.language import advise
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account, Pack, Prompt, Template, Tune
from fluxbooth.service.errors import Invalid
from fluxbooth.service.jobs import priority
from fluxbooth.service.packs import pack_editing, packs
from fluxbooth.service.prompts import drawing, input_images, prompts, templates
from fluxbooth.service.prompts.input_images import FILES
from fluxbooth.service.safety import Judge
from fluxbooth.service.settings import Settings
from tests.support.installation import Installation

PHOTO = sorted(PHOTOS.glob("*.png"))[0]
DEV = 1504944
PRICES = Prices(picture=1000, options={"super_resolution": 7, "only_upscale": 20, "film_grain": 5})


def kept(source: Path, folder: Path) -> Path:
    judge = Judge(Settings(data=folder, safety="off"))
    return input_images.written(source, "input_image", folder, judge)


def test_an_upload_keeps_its_transparency_and_who_drew_it(tmp_path: Path) -> None:
    cut = Image.open(PHOTO).convert("RGBA")
    cut.putalpha(Image.linear_gradient("L").resize(cut.size))
    cut.save(tmp_path / "cut.png")
    stored = kept(tmp_path / "cut.png", tmp_path)
    with Image.open(stored) as image:
        assert (stored.suffix, image.mode) == (".png", "RGBA")
        assert image.getchannel("A").tobytes() == cut.getchannel("A").tobytes()
    picture_files.save(cut.convert("RGB"), tmp_path / "drawn.jpg", base="nano")
    stored = kept(tmp_path / "drawn.jpg", tmp_path)
    assert stored.suffix == ".jpg"
    assert picture_files.base_said(stored.read_bytes()) == "nano"


@pytest.mark.parametrize(
    ("branch", "fields", "pictures", "cost"),
    [
        ("flux1", {}, (), 1000),
        ("fast", {}, (), 0),
        ("fast", {"num_images": 8, "super_resolution": True}, (), 56),
        ("fast", {"only_upscale": True}, ("input_image",), 1020),
        ("flux1", {"only_upscale": True}, ("input_image",), 1020),
        ("fast", {"denoising_strength": 0, "film_grain": True}, ("input_image",), 1005),
        ("fast", {"denoising_strength": 0.5}, ("input_image",), 0),
    ],
)
def test_a_trial_makes_its_plain_pictures_free_and_no_option(
    installation: Installation,
    branch: str,
    fields: dict[str, Any],
    pictures: tuple[str, ...],
    cost: int,
) -> None:
    settings = installation.settings.model_copy(update={"prices": PRICES})
    form = PromptForm.read({"text": "sks man", **fields})
    assert drawing.cost(settings, form, DEV, [Tune(branch=branch)], pictures) == cost


@pytest.fixture(scope="module")
def account(installation: Installation) -> int:
    return installation.account()


@pytest.fixture(scope="module")
def tune(installation: Installation, account: int) -> int:
    tune = installation.tune(account, "for packs")
    installation.trained(tune)
    return tune


def test_what_needs_a_picture_becomes_no_template(
    installation: Installation, account: int, tune: int
) -> None:
    text = f"<lora:{tune}:1> sks man in the snow"
    number = installation.prompt(account, tune, text)

    def story(session: Session, owner: Account) -> None:
        pack = Pack(account_id=owner.id, slug="s", title="t", base_tune_id=DEV)
        session.add(pack)
        session.flush()
        prompt = prompts.get(session, owner, number)
        prompt.text = f"{text} --mask_prompt face"
        with pytest.raises(Invalid, match="takes no prompt with mask_prompt, which needs input"):
            templates.attach(session, owner, prompt, pack.id)
        prompt.text = f"<lora:{tune}:1> --film_grain"
        with pytest.raises(Invalid, match="a blank text, which says nothing to draw"):
            templates.attach(session, owner, prompt, pack.id)
        prompt.text, prompt.fields = text, {"only_upscale": True}
        with pytest.raises(Invalid, match="only_upscale"):
            templates.attach(session, owner, prompt, pack.id)
        assert session.get(Template, number) is None and prompt.pack_id is None
        prompt.fields = {}
        templates.attach(session, owner, prompt, pack.id)
        session.flush()
        with pytest.raises(Invalid, match="mask_prompt"):
            pack_editing.reword(session, pack, number, "sks man --mask_prompt face")
        assert [row.id for row in packs.templates(session, pack)] == [number]
        session.get_one(Template, number).fields = {"mask_prompt": "face"}  # of an earlier version
        session.flush()
        assert packs.templates(session, pack) == []
        shown = packs.shape(session, pack, installation.settings)
        assert shown["costs"] == {} and shown["template_prompts"] == []

    installation.write(account, story)


def test_an_upload_that_is_only_changed_has_no_text_to_advise_on() -> None:
    form = PromptForm.read({"text": "man", "only_upscale": True})
    row = drawing.registry.find("nano")
    assert drawing.advice(form, "man", row, [], {"input_image"}) == []
    form = PromptForm.read({"text": "man"})
    assert [one.code for one in drawing.advice(form, "man", row, [], ())] == ["short"]


def test_many_faults_of_one_kind_are_not_all_told() -> None:
    text = "a man at sea " + " ".join(f"--nope{i}" for i in range(650))
    assert len([one for one in advise(text) if one.code == "unknown_flag"]) == 10


def test_a_canvas_without_room_is_told_at_once(installation: Installation, account: int) -> None:
    form = {"outpaint": "center", "outpaint_width": 64, "outpaint_height": 64}
    with pytest.raises(Invalid, match="adds nothing to a picture of 128 x 128"):
        installation.prompt(account, DEV, "a man at sea", **form)


@pytest.mark.parametrize(
    ("side", "fields", "takes_long"),
    [
        (100, {"only_upscale": True}, False),
        (250, {"only_upscale": True}, True),
        (1500, {"only_upscale": True, "upscale_factor": 2.0}, True),
        (1500, {"film_grain": True}, False),
    ],
)
def test_long_work_apart_waits_where_no_short_one_does(
    installation: Installation, side: int, fields: dict[str, Any], takes_long: bool
) -> None:
    key = f"prompts/long-{side}.jpg"
    path = installation.results.store.path(key)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (side, side)).save(path)
    asked = {"denoising_strength": 0, FILES: {"input_image": key}}
    prompt = Prompt(spec={"base": "nano", **fields}, fields=asked, num_images=1)
    assert not priority.needs_base(prompt)
    assert priority.takes_long(prompt, installation.results.store) == takes_long
    assert installation.results.jobs._queue_of(prompt) == ("long" if takes_long else "apart")
    path.unlink()


def test_short_work_does_not_wait_for_the_process_of_long_work() -> None:
    pool = DevicePool(["cpu"])
    asked: list[str] = []

    async def note(name: str) -> None:
        asked.append(name)

    for name in ("long", "apart"):
        device = getattr(pool, name)
        device.run = lambda *_, name=name: note(name)
    silent = cast("Any", None)
    for request in ({"apart": True, "long": True}, {"apart": True, "long": False}):
        asyncio.run(pool.run({**request, "spec": {}}, silent, silent))
    assert asked == ["long", "apart"]


def test_work_that_nobody_wants_any_more_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files go with the row, before it hears of the cancel."""

    class Engine:
        class results:
            @staticmethod
            def prompt_wanted(number: int) -> bool:
                return number == 1

        @staticmethod
        async def draw(number: int) -> None:
            raise Refused("There is no file input_image.jpg: check the path.")

    for kind in ("train", "fetch_photos", "fetch_inputs"):
        setattr(Engine, kind, Engine.draw)
    monkeypatch.setattr(worker, "engine", Engine, raising=False)
    assert asyncio.run(worker.attempt(1, "draw"))["outcome"] == "failed"
    assert asyncio.run(worker.attempt(2, "draw")) == {"outcome": "unwanted"}

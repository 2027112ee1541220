"""FLUX.2 [klein] trains and draws as diffusers' pipelines do, on small random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fluxbooth import GenerateSpec, InputError, generate, train
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation import references
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import loader, registry
from fluxbooth.models.flux2.family import Flux2
from fluxbooth.specs import TrainSpec
from tests.support import klein

TEXT = "a man with glasses, at the beach"
SIZE = (96, 64)
PICTURES = [PHOTOS / f"photo-0{number}.png" for number in (1, 2, 3)]
WHOLE = Choice("float32", encoders="stay", stored="float32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A distilled one and its base, of other weights."""
    place = tmp_path_factory.mktemp("klein")
    return {
        "distilled": klein.folder(place / "distilled"),
        "base": klein.folder(place / "base", distilled=False, seed=1),
    }


@pytest.fixture(scope="module")
def lora(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that changes a picture visibly."""
    spec = TrainSpec(
        class_name="man", base=str(folders["base"]), steps=20, rank=4, resolutions=(64,),
        learning_rate=0.1, dtype="float32",
    )  # fmt: skip
    return train(PHOTOS, spec, tmp_path_factory.mktemp("trained") / "run").lora


def load(folder: Path, choice: Choice = WHOLE) -> Flux2:
    family = loader.load(str(folder), choice=choice)
    assert isinstance(family, Flux2)
    return family


def theirs(folder: Path, lora: Path | None = None, **given: Any) -> Image.Image:
    """What plain diffusers draws."""
    kind = Flux2KleinInpaintPipeline if "mask_image" in given else Flux2KleinPipeline
    pipeline = kind.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if lora:
        pipeline.load_lora_weights(str(lora))
    drawn: Any = pipeline(
        prompt=TEXT, width=SIZE[0], height=SIZE[1], guidance_scale=4.0,
        generator=torch.Generator().manual_seed(7), **given,
    )  # fmt: skip
    return drawn.images[0]


def ours(family: Flux2, **given: Any) -> Image.Image:
    spec = GenerateSpec(
        base=family.row.name, seed=7, width=SIZE[0], height=SIZE[1], dtype="float32", **given
    )
    return generate([TEXT], spec, family=family)[0].image


def apart(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())


@pytest.mark.parametrize(("kind", "steps"), [("distilled", 4), ("base", 6)])
def test_it_draws_the_picture_of_plain_diffusers_with_and_without_our_lora(
    folders: dict[str, Path], lora: Path, kind: str, steps: int
) -> None:
    family = load(folders[kind])
    plain = ours(family, steps=steps)
    assert apart(plain, theirs(folders[kind], num_inference_steps=steps)) <= 1
    assert np.asarray(plain).std() > 10  # a picture, not a flat field
    drawn = ours(family, steps=steps, loras=(str(lora),))
    assert apart(drawn, theirs(folders[kind], lora, num_inference_steps=steps)) <= 1
    assert apart(drawn, plain) > 5


@pytest.mark.parametrize(("kind", "count"), [("distilled", 1), ("distilled", 3), ("base", 1)])
def test_what_it_looks_at_is_what_plain_diffusers_looks_at(
    folders: dict[str, Path], kind: str, count: int
) -> None:
    family = load(folders[kind])
    looked = PICTURES[:count]
    drawn = ours(family, steps=4, references=tuple(map(str, looked)))
    images = [Image.open(path).convert("RGB") for path in looked]
    assert apart(drawn, theirs(folders[kind], num_inference_steps=4, image=images)) <= 1
    assert apart(drawn, ours(family, steps=4)) > 5


def test_within_a_mask_it_draws_the_picture_of_plain_diffusers(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    photo = Image.open(PICTURES[0]).convert("RGB").resize(SIZE)
    mask = Image.new("L", SIZE)
    mask.paste(255, (32, 16, 64, 48))
    photo.save(tmp_path / "photo.png")
    mask.save(tmp_path / "mask.png")
    family = load(folders["distilled"])
    given: dict[str, Any] = {
        "input_image": str(tmp_path / "photo.png"),
        "mask_image": str(tmp_path / "mask.png"),
        "denoising_strength": 1.0,
    }
    drawn = ours(family, steps=4, **given)
    known = theirs(
        folders["distilled"], num_inference_steps=4, image=photo, mask_image=mask, strength=1.0
    )
    inside = (36, 20, 60, 44)  # where nothing is blended
    assert apart(drawn.crop(inside), known.crop(inside)) <= 1
    assert apart(drawn.crop((0, 0, 16, 64)), photo.crop((0, 0, 16, 64))) == 0
    looking = ours(family, steps=4, references=(str(PICTURES[1]), str(PICTURES[2])), **given)
    assert apart(looking.crop(inside), drawn.crop(inside)) > 1
    weaker = [ours(family, steps=4, **given | {"denoising_strength": s}) for s in (0.8, 0.9)]
    for one, other in ((weaker[0], drawn), (weaker[1], drawn), (weaker[0], weaker[1])):
        assert apart(one.crop(inside), other.crop(inside)) > 1  # diffusers would draw one picture


def test_from_a_picture_the_strength_says_how_far(folders: dict[str, Path]) -> None:
    family = load(folders["distilled"])
    start = str(PICTURES[0])

    def drawn(strength: float, **given: Any) -> np.ndarray:
        image = ours(family, steps=4, input_image=start, denoising_strength=strength, **given)
        return np.asarray(image).astype(int)

    whole = np.asarray(ours(family, steps=4)).astype(int)
    assert np.array_equal(drawn(1.0), whole)  # forgotten
    distances = [np.abs(drawn(strength) - whole).mean() for strength in (0.9, 0.4)]
    assert 0 < distances[0] < distances[1]
    assert not np.array_equal(drawn(0.9), drawn(0.9, references=(str(PICTURES[1]),)))


def test_layers_that_are_not_read_are_left_out_and_nothing_changes(
    folders: dict[str, Path],
) -> None:
    family = load(folders["distilled"])
    pipeline = Flux2KleinPipeline.from_pretrained(folders["distilled"], local_files_only=True)
    assert len(pipeline.text_encoder.model.layers) == 30
    assert len(family.pipeline().text_encoder.model.layers) == 28
    with torch.no_grad():
        states, _ = pipeline.encode_prompt([TEXT, ""], max_sequence_length=96)
    told = family.encode_text([TEXT, ""], 96)
    torch.testing.assert_close(told["states"], states, rtol=0, atol=1e-5)
    assert "empty" not in told
    guided = load(folders["base"]).encode_text([TEXT], 96)
    torch.testing.assert_close(guided["empty"], states[1:], rtol=0, atol=1e-5)
    said = pipeline.tokenizer.apply_chat_template(
        [{"role": "user", "content": TEXT}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    assert family.count_tokens(TEXT) == len(pipeline.tokenizer(said).input_ids)


def test_a_part_of_a_picture_is_drawn_anew_with_what_is_looked_at(
    folders: dict[str, Path],
) -> None:
    family = load(folders["base"])
    texts = {TEXT: family.encode_text([TEXT], 64)}
    photo = Image.open(PICTURES[0]).convert("RGB").resize((120, 90))
    redraw = Redraw(family, texts, TEXT, [], 4, 4.0)
    plain = redraw(photo, strength=0.6, seed=1)
    assert plain.size == photo.size
    looked = references.fitted(Image.open(PICTURES[1]).convert("RGB"), "photo")
    looking = replace(redraw, references=[looked])(photo, strength=0.6, seed=1)
    assert apart(plain, looking) > 1
    unguided = replace(redraw, guidance=1.0)(photo, strength=0.6, seed=1)
    assert apart(plain, unguided) > 1


def gradients(family: Flux2, checkpointed: int = 0) -> Tensor:
    """Of every weight of a LoRA, for a noisy picture and a target that no network would guess."""
    parameters = lora_training.add(family, rank=2, seed=0)
    family.checkpoint_gradients(checkpointed)
    draw = torch.Generator().manual_seed(3)
    for parameter in parameters:
        parameter.data = 0.02 * torch.randn(parameter.shape, generator=draw)
    x = torch.randn(1, 16, 128, generator=draw)
    told = {"states": torch.randn(1, 12, 3 * klein.TEXT_WIDTH, generator=draw)}
    velocity = family.velocity(x, torch.tensor([0.6]), told, 1.0, (64, 64))
    ((velocity - torch.randn(1, 16, 128, generator=draw)) ** 2).mean().backward()
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


# relative difference of all LoRA gradients together from the whole base's
@pytest.mark.parametrize(
    ("choice", "most"),
    [
        (replace(WHOLE, stored="bfloat16"), 0.05),
        (replace(WHOLE, quantisation="int8"), 0.05),
        (replace(WHOLE, quantisation="fp8"), 0.15),
        (replace(WHOLE, offloaded=2), 1e-5),
    ],
)
def test_bases_that_are_kept_smaller_or_elsewhere_train_as_the_whole_one_does(
    folders: dict[str, Path], choice: Choice, most: float
) -> None:
    whole = gradients(load(folders["base"]))
    assert len(whole) > 1000
    close = gradients(load(folders["base"], choice))
    assert (close - whole).norm() / whole.norm() < most


def test_gradients_are_the_same_with_activations_computed_anew(folders: dict[str, Path]) -> None:
    whole = gradients(load(folders["base"]))
    for blocks in (1, 3):
        torch.testing.assert_close(gradients(load(folders["base"]), blocks), whole)


def test_every_layer_of_the_blocks_is_adapted_and_no_other(
    folders: dict[str, Path], lora: Path
) -> None:
    names = {name.rpartition(".lora_")[0] for name in load_file(lora)}
    assert names == {f"transformer.{name}" for name in load(folders["base"]).adapter_targets()}
    assert len(names) == 12 + 2 * 2
    assert not any("modulation" in name or "embed" in name for name in names)


def test_what_is_trained_on_is_the_base_and_says_how_it_draws(folders: dict[str, Path]) -> None:
    """A row whose weights to train on are others than those to draw with."""
    row = replace(
        registry.find(str(folders["distilled"])), train_source=str(folders["base"]), trains=True
    )
    from fluxbooth.models.flux2 import family as flux2

    drawing = flux2.load(row, training=False, choice=WHOLE)
    training = flux2.load(row, training=True, choice=WHOLE)
    assert (drawing.row.steps, drawing.row.guidance, drawing.row.two_pass) == (4, None, False)
    assert (training.row.steps, training.row.guidance, training.row.two_pass) == (50, 4.0, True)
    name = "transformer_blocks.0.attn.to_q.weight"
    weights = load_file(folders["base"] / "transformer" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(training.network.state_dict()[name], weights[name])
    assert not torch.equal(drawing.network.state_dict()[name], weights[name])


def test_what_it_cannot_do_is_refused(folders: dict[str, Path]) -> None:
    distilled = str(folders["distilled"])
    with pytest.raises(InputError, match="cannot leave blocks out: leave --speed fast out"):
        generate([TEXT], GenerateSpec(base=distilled, speed="fast"))
    with pytest.raises(InputError, match="knows no guidance"):
        generate([TEXT], GenerateSpec(base=distilled, guidance=3.5))
    spec = TrainSpec(class_name="man", base=str(folders["base"]), guidance=3.5)
    with pytest.raises(InputError, match="told no guidance in training: leave --guidance out"):
        registry.resolve(spec, 1)
    with pytest.raises(InputError, match="cannot be trained"):
        registry.find_to_train(distilled)

"""The estimator against tensors that are really alive, for FLUX.2 [klein]; its full size counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from bench import klein_service, tables
from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.hardware import GIB, Room
from fluxbooth.lora import training as lora_training
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job
from fluxbooth.models import planner, timing
from fluxbooth.models.flux2 import size
from fluxbooth.models.flux2.family import Flux2
from fluxbooth.models.flux2.size import KLEIN_4B, Flux2Shape
from fluxbooth.models.loading import WeightPlacer
from fluxbooth.models.registry import BASES
from fluxbooth.specs import GenerateSpec, TrainSpec
from tests.memory.test_estimate import measure_step
from tests.support import klein
from tests.support.meter import Meter, without_memory


@dataclass(frozen=True)
class Case:
    layers: int
    single_layers: int
    heads: int
    head_size: int
    job: Job
    checkpointed: int = 0
    dtype: hardware.Dtype = "bfloat16"
    quantisation: estimate.Quantisation = "none"
    text_width: int = 256

    @property
    def shape(self) -> Flux2Shape:
        return Flux2Shape(
            self.layers,
            self.single_layers,
            self.heads * self.head_size,
            self.heads,
            self.text_width,
            128,
            encoders=0,
            autoencoder=0,
            autoencoder_channels=0,
        )

    @property
    def choice(self) -> Choice:
        return Choice(self.dtype, self.quantisation, self.checkpointed)


CASES = {
    "small": Case(2, 4, 4, 64, Job(256, 128, rank=8)),
    "double blocks only": Case(6, 0, 4, 64, Job(256, 128, rank=8)),
    "single blocks only": Case(0, 6, 4, 64, Job(256, 128, rank=8)),
    "wide, float32": Case(2, 4, 8, 64, Job(256, 128, rank=8), dtype="float32"),
    "short text": Case(2, 4, 4, 64, Job(256, 16, rank=8)),
    "batch of three": Case(2, 4, 4, 64, Job(256, 128, batch_size=3, rank=8)),
    "rank 64": Case(2, 4, 4, 64, Job(256, 128, rank=64)),
    "all checkpointed": Case(2, 4, 4, 64, Job(256, 128, rank=8), checkpointed=6),
    "some checkpointed": Case(2, 4, 4, 64, Job(256, 128, rank=8), checkpointed=3),
    "int8": Case(1, 2, 4, 64, Job(128, 64, rank=8), dtype="float32", quantisation="int8"),
    "nf4": Case(1, 2, 4, 64, Job(128, 64, rank=8), 3, dtype="float32", quantisation="nf4"),
}
FULL_SIZE = {
    "klein at 768": Case(5, 20, 24, 128, Job(768, 512), text_width=7680),
    "klein at 1024, all checkpointed": Case(5, 20, 24, 128, Job(1024, 512), 25, text_width=7680),
}


def family(case: Case, device: str) -> Flux2:
    dtype, size = getattr(torch, case.dtype), case.head_size
    torch.set_default_dtype(dtype)
    with torch.device(device):
        network = Flux2Transformer2DModel(
            num_layers=case.layers,
            num_single_layers=case.single_layers,
            attention_head_dim=size,
            num_attention_heads=case.heads,
            in_channels=128,
            joint_attention_dim=case.text_width,
            guidance_embeds=False,
            axes_dims_rope=(size // 4,) * 4,
        )
    torch.set_default_dtype(torch.float32)
    made = object.__new__(Flux2)
    made.row = BASES["flux2-klein-base"]
    made.network = network
    made.dtype = made.stored = dtype
    made.choice, made.device = case.choice, torch.device(device)
    if case.choice.cast_at_use:
        place = WeightPlacer(network, made.adapter_targets(), case.choice, dtype, made.device)
        for name, value in network.state_dict().items():
            place(name, value)
    return made


@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in FULL_SIZE)]
)
def test_the_peak_is_what_was_predicted(name: str) -> None:
    case = (CASES | FULL_SIZE)[name]
    fake = case.quantisation == "none"
    stays, peak = measure_step(
        family(case, "meta" if fake else "cpu"),
        case.job,
        case.checkpointed,
        128,
        {"states": (case.job.text_length, case.text_width)},
        fake=fake,
    )
    predicted = estimate.estimate(case.shape, case.job, case.choice)
    # not counted are the scales of each output
    assert predicted.base + predicted.adapter == pytest.approx(stays, rel=0.01 if fake else 0.03)
    assert 0.9 * peak <= predicted.step <= 1.1 * peak


@pytest.mark.parametrize("side", [512, 1024])
def test_the_peak_of_drawing(side: int) -> None:
    case = Case(5, 20, 24, 128, Job(side, 512), text_width=7680)
    drawn = family(case, "meta").network.requires_grad_(False)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    without_memory(drawn, mode)
    tokens, dtype = case.job.image_tokens, torch.bfloat16
    with mode, torch.no_grad(), Meter() as meter:
        inputs = {
            "hidden_states": torch.zeros(1, tokens, 128, dtype=dtype),
            "encoder_hidden_states": torch.zeros(1, 512, case.text_width, dtype=dtype),
            "timestep": torch.ones(1, dtype=dtype),
            "img_ids": torch.zeros(tokens, 4),
            "txt_ids": torch.zeros(512, 4),
        }
        meter.count(drawn.parameters())
        meter.now = 0
        meter.reset_peak()
        drawn(**inputs)
    predicted = KLEIN_4B.drawing * case.job.tokens * KLEIN_4B.width * 2
    assert predicted == pytest.approx(meter.peak, rel=0.1)


def test_base_4b_is_as_large_as_it_is() -> None:
    """Parameters, those of a LoRA and operations, against diffusers' and transformers' own models
    of that configuration."""
    case = Case(5, 20, 24, 128, Job(768, 512), text_width=7680)
    made = family(case, "meta")
    assert sum(p.numel() for p in made.network.parameters()) == 3_875_544_576
    assert KLEIN_4B.transformer == 3_875_544_576
    linear = {
        name: layer.in_features * layer.out_features
        for name, layer in made.network.named_modules()
        if name in set(made.adapter_targets())
    }
    d = KLEIN_4B.width
    for kind, block, squares in (
        ("double", "transformer_blocks.0.", 26),
        ("single", "single_transformer_blocks.0.", 13),
    ):
        weights = sum(count for name, count in linear.items() if name.startswith(block))
        assert weights == squares * d**2 == KLEIN_4B.block_weights(kind)
    assert sum(linear.values()) == KLEIN_4B.linear
    # a token goes through one stream of a double block
    assert KLEIN_4B.block_flops("double", 10)[0] == KLEIN_4B.block_flops("single", 10)[0]
    assert KLEIN_4B.block_flops("single", 10) == (2 * 13 * d**2 * 10, 4 * 10**2 * d)
    added = lora_training.add(made, 16, 0)
    assert sum(p.numel() for p in added) == KLEIN_4B.adapter(16) == 24_084_480
    with torch.device("meta"):
        autoencoder = AutoencoderKLFlux2()
        encoder = Qwen3ForCausalLM(
            Qwen3Config(
                hidden_size=2560,
                intermediate_size=9728,
                num_hidden_layers=36,
                num_attention_heads=32,
                num_key_value_heads=8,
                head_dim=128,
                tie_word_embeddings=True,
            )
        )
    assert sum(p.numel() for p in autoencoder.parameters()) == KLEIN_4B.autoencoder
    assert sum(p.numel() for p in encoder.parameters()) == KLEIN_4B.encoders
    unread = sum(p.numel() for p in encoder.model.layers[size.LAYERS_KEPT :].parameters())
    assert unread == KLEIN_4B.encoders_unread


def test_a_folder_is_as_large_as_it_is(tmp_path: Path) -> None:
    found = size.of(str(klein.folder(tmp_path)))
    network = Flux2Transformer2DModel.from_pretrained(tmp_path / "transformer")
    assert found.transformer == sum(p.numel() for p in network.parameters())
    encoder = Qwen3ForCausalLM.from_pretrained(tmp_path / "text_encoder")
    assert found.encoders == sum(p.numel() for p in encoder.parameters())
    above = encoder.model.layers[size.LAYERS_KEPT :]
    assert found.encoders_unread == sum(p.numel() for p in above.parameters()) > 0


def test_operations_of_klein_beside_those_of_flux1() -> None:
    """As the tables of published trainings have it: 0.47 of a forward pass."""
    from fluxbooth.models.flux1.size import FLUX1

    job = Job(1024, 512)
    forward = [
        sum(sum(shape.block_flops(kind, job.tokens)) for kind in shape.blocks)
        for shape in (KLEIN_4B, FLUX1)
    ]
    assert forward[0] / forward[1] == pytest.approx(0.47, abs=0.01)
    assert timing.step_flops(KLEIN_4B, job, Choice(checkpointed=25)) > timing.step_flops(
        KLEIN_4B, job, Choice()
    )


def test_training_and_drawing_fit_a_card_of_12_gb() -> None:
    """Of which others hold 1.5 GiB; `python -m bench.klein_service` replays the allocations."""
    training, drawing = klein_service.plans()
    for told in (training.estimate, drawing):
        assert klein_service.tensors_alone(told) <= 10 * GIB
        assert told.device <= klein_service.ROOM.device and told.main <= klein_service.ROOM.main
    # unquantised it would leave less than a twentieth free
    assert training.choice.quantisation == "int8" and not training.choice.offloaded
    whole = planner.resident(
        TrainSpec(class_name="man", base="flux2-klein"), Room(11.6 * GIB, 29 * GIB)
    )
    assert whole.quantisation == "none" and not whole.offloaded
    # of an unquantised base, with all blocks recomputed
    replayed = dict(tables.load("memory")["klein-service"]["rows"])
    for stage, peak in list(replayed.items())[:5]:
        assert peak <= 10, stage
    trains, draws = (replayed[f"predicted, {work}"] for work in ("training", "drawing"))
    assert trains == pytest.approx(replayed["base-4B trains at 768 px"], rel=0.1)
    assert draws == pytest.approx(replayed["the picture is decoded at 1024 px"], rel=0.1)


def test_blocks_that_wait_are_at_most_those_there_are() -> None:
    spec = GenerateSpec(base="flux2-klein", offload_blocks=26)
    with pytest.raises(InputError, match="flux2-klein has 25 blocks, so 26 of them cannot wait"):
        planner.generation(spec, 1024, Room(24 * GIB, 32 * GIB))


def test_what_is_looked_at_takes_memory_and_time() -> None:
    spec = GenerateSpec(base="flux2-klein", references=("a.jpg", "b.jpg"))
    room = Room(24 * GIB, 32 * GIB)
    step = planner.generation(spec, 1024, room).estimate.step
    assert step == KLEIN_4B.drawing * (512 + 3 * 4096) * KLEIN_4B.width * 2
    seconds = [
        timing.guessed_drawing(
            GenerateSpec(base=f"flux2-klein{kind}", num_images=1), 1024**2, "cpu"
        )
        for kind in ("", "-base")
    ]
    assert seconds[1] == pytest.approx(2 * 50 / 4 * seconds[0])
    assert timing.guessed_drawing(spec, 1024**2, "cpu") > 2 * seconds[0]

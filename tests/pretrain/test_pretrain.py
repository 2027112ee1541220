"""What nano learns from: captions must be true, and its critic must not be taught to look for a
secret code."""

from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from fluxbooth import InputError
from fluxbooth.evaluation.likeness import load_reader
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.training import flow
from pretrain import (
    adversarial,
    faces,
    leaves,
    own_samples,
    people,
    self_distillation,
    text,
    things,
    vae,
    words,
)
from pretrain.__main__ import Work
from pretrain.adversarial import HAIR_REACH, REACH, perturbed, targets
from pretrain.attributes import of_grown_ups, vocabulary
from pretrain.backgrounds import SCENES
from pretrain.critic import AttributeCritic, said_and_unsaid
from pretrain.data import Shard
from pretrain.distill import guided
from pretrain.own_samples import EULER_STEPS, TrajectoryPool, sample_losses
from pretrain.people import Person, Shot
from pretrain.reader import grown_ups
from pretrain.renders import (
    Pair,
    Portrait,
    Row,
    Still,
    from_json,
    to_json,
    training_row,
    with_rare_token,
)
from pretrain.schedule import descend, set_rate
from pretrain.self_distillation import Velocities, consistency_loss, usual, velocities
from pretrain.subjects import subject
from pretrain.transformer import Batch

ROWS = [training_row(random.Random(f"row {i}")) for i in range(600)]


def is_clay(row: Row) -> bool:
    return isinstance(row, Portrait) and row.person.style == "clay"


def test_a_row_is_the_same_after_its_way_through_json() -> None:
    assert {type(row) for row in ROWS} == {Portrait, Pair, Still}
    assert [from_json(*json.loads(json.dumps(to_json(row)))) for row in ROWS] == ROWS


def test_a_caption_names_nothing_that_is_not_in_the_picture() -> None:
    names = [
        *people.MOODS,
        "sleeping",
        *people.CLOTHES,
        *people.TOON_CLOTHES,
        "checked shirt",
        *things.THINGS,
    ]
    names += [
        "man",
        "woman",
        "boy",
        "girl",
        "looking left",
        "looking right",
        "facing us",
        "blue eyes",
        "green eyes",
    ]
    names += [words.bare(hat) for hat in (*people.HATS, *people.PERSONA_HATS)] + [
        "glasses",
        "beard",
        "moustache",
        "eyepatch",
    ]
    for row, prose in itertools.product(ROWS, (False, True)):
        caption, truth = row.caption(random.Random("words"), prose), json.dumps(to_json(row))
        for name in names:
            if re.search(rf"(?<![a-z-]){name}(?![a-z])", caption):
                assert name.removesuffix(" eyes") in truth, (name, caption)
        for name, phrase in SCENES.items():
            assert phrase not in caption or f'"{name}"' in truth, caption


def test_every_answer_is_a_word_of_the_vocabulary() -> None:
    values = vocabulary()
    for row in ROWS:
        assert all(value in values[name] for name, value in row.answers().items())


def test_the_shipped_reader_knows_what_grown_ups_show() -> None:
    known, shard = of_grown_ups(), Shard(np.arange(len(ROWS)), ROWS, Path("000-128x128.npy"))
    assert load_reader().attributes == known
    [kept] = grown_ups([shard])
    assert [ROWS[i] for i in kept.pictures] == kept.rows
    assert {row.answers()["kind"] for row in kept.rows} == {"man", "woman"}
    # of 600: half are men and women, of whom one in five wears a hat
    assert 200 < len(kept.rows) < 300
    for row in kept.rows:
        answers = row.answers()
        assert all(answers[name] in values for name, values in known.items() if name in answers)
        assert answers.keys() - known.keys() == {"hat", "number"}


def test_a_hat_hides_the_hair_and_a_bald_head_its_colour() -> None:
    bald = Person("avatar", "man", "a bald head", "red", "tan", "none", "none")
    shot = Shot("hoodie", "blue", "sad", "beach", "left", 1.0)
    assert "hair_colour" not in Portrait(bald, shot).answers()
    hatted = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0, "a turban", "pink"),
    )
    assert "hair" not in hatted.answers()
    assert hatted.answers()["hair_colour"] == "red"  # the beard shows it
    assert hatted.said("man with a pink turban, in a blue hoodie, on the left") == {
        "kind": "man",
        "hat": "a turban",
        "hat_colour": "pink",
        "clothes": "hoodie",
        "clothes_colour": "blue",
        "position": "left",
    }


def test_words_are_found_whole() -> None:
    woman = Portrait(
        Person("toon", "woman", "a bob", "black", "pale", "none", "none"),
        Shot("dress", "red", "sad", "city", "left", 1.0),
    )
    assert woman.said("a woman with a black bobsleigh") == {"kind": "woman"}


FLAT = [
    next(row for row in ROWS if isinstance(row, kind) and not is_clay(row))
    for kind in (Portrait, Pair)
]


@pytest.mark.parametrize("row", FLAT, ids=["portrait", "pair"])
@pytest.mark.parametrize("size", [(128, 128), (96, 176)])
def test_a_head_is_where_its_box_says(row: Portrait | Pair, size: tuple[int, int]) -> None:
    drawn = np.asarray(row.draw(*size, random.Random(0)), dtype=int)
    for left, top, right, bottom in row.heads(*size):
        x, y = round(min(size[0] - 1, max(0, (left + right) / 2))), round((top + bottom) / 2)
        corner = drawn[0, 0]
        # a face, not the wall behind it
        assert abs(drawn[min(y, size[1] - 1), x] - corner).sum() > 30


def test_captions_are_short_enough_and_hold_rare_tokens_now_and_then() -> None:
    _, t5 = text.tokenizers()
    rng = random.Random(1)
    captions = [with_rare_token(row.caption(rng), row, rng, text.RARE_TOKENS) for row in ROWS]
    sentences = [row.caption(rng, prose=True) for row in ROWS]
    assert (
        0.05
        < sum(any(token in caption for token in text.RARE_TOKENS) for caption in captions)
        / len(captions)
        < 0.25
    )
    assert max(len(t5(caption).input_ids) for caption in captions) <= text.PHRASES_LENGTH
    assert max(len(t5(caption).input_ids) for caption in sentences) <= text.TEXT_LENGTH
    assert min(len(caption.split()) for caption in captions) == 1
    assert 50 <= max(len(caption.split()) for caption in sentences) <= 60
    assert t5.unk_token_id not in t5(" ".join(captions + sentences)).input_ids


def test_what_clip_does_not_know_does_not_end_what_it_reads() -> None:
    clip, t5 = text.tokenizers()
    shipped = CLIPTokenizer.from_pretrained(NANO / "tokenizer")
    assert shipped.unk_token == text.UNKNOWN
    assert shipped("a man, a hat").input_ids[3] == shipped.unk_token_id  # an ordinary comma
    for tokenizer in (clip, text.extended(shipped, t5)[0]):
        for mark in (*text.PUNCTUATION, " at the café", " 漢字", " 😀"):
            ids = tokenizer(f"a man{mark} a hat").input_ids
            assert ids.index(tokenizer.eos_token_id) == len(ids) - 1, mark


def test_new_words_come_after_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fewer:
        fewer.setattr(
            text, "_captions", lambda: ["a man with a red beard"] * 60 + text.PLAIN_LETTERS
        )
        clip, t5 = text.tokenizers()
    old = {tokenizer: tokenizer.get_vocab() for tokenizer in (clip, t5)}
    sentence = "a man with a red beard"
    before = clip(sentence).input_ids, t5(sentence).input_ids
    more_clip, more_t5 = text.extended(clip, t5)
    assert old[t5].items() <= more_t5.get_vocab().items()
    assert (more_clip(sentence).input_ids, more_t5(sentence).input_ids) == before
    assert "\u2581pigtails" in more_t5.tokenize("a girl with pigtails")


def test_what_is_said_and_what_is_not_are_all_that_can_be_seen() -> None:
    row = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    [said, nothing], [unsaid, everything] = said_and_unsaid(
        [row, row], ["man with a beard, sad", ""]
    )
    assert said == {"kind": "man", "beard": "a beard", "mood": "sad"}
    assert not said.keys() & unsaid.keys()  # else the two could agree on a code
    assert said | unsaid == row.answers() == everything
    assert nothing == {}


def test_the_critic_s_loss_is_of_named_attributes_alone() -> None:
    torch.manual_seed(0)
    critic = AttributeCritic()
    z = torch.randn(2, 64, 64, requires_grad=True)
    critic.loss(z, (16, 16), [{"mood": "sad"}, {}]).backward()
    assert z.grad is not None
    assert z.grad[0].abs().sum() > 0
    assert z.grad[1].abs().sum() == 0
    assert critic.heads["mood"].weight.grad is not None
    assert float(critic.heads["hair"].weight.grad.abs().sum()) == 0  # type: ignore[union-attr]


def test_the_critic_can_count_an_attribute_twice() -> None:
    torch.manual_seed(0)
    critic, z = AttributeCritic(), torch.randn(1, 64, 64)
    both = [{"mood": "sad", "hair": "an afro"}]

    def loss(said: list[dict[str, str]], counts: dict[str, float]) -> float:
        return critic.loss(z, (16, 16), said, noise=0.0, counts=counts).item()

    assert loss(both, {"hair": 2.0}) == pytest.approx(
        loss(both, {}) + loss([{"hair": "an afro"}], {})
    )


def test_a_picture_is_perturbed_where_the_critic_misreads_it() -> None:
    torch.manual_seed(0)
    critic, answers = AttributeCritic(), [{"mood": "sad"}, {"mood": "angry"}]
    z, reach = torch.randn(2, 64, 64), torch.tensor([0.0, 3.0])
    touched = perturbed(critic, z, (16, 16), answers, reach)
    torch.testing.assert_close((touched - z).norm(dim=(1, 2)), reach)
    assert not touched.requires_grad
    assert critic.heads["mood"].weight.grad is None
    assert all(p.requires_grad for p in critic.parameters())
    chance = z + torch.nn.functional.normalize(torch.randn(2, 4096), dim=1).view(
        2, 64, 64
    ) * reach.view(-1, 1, 1)
    mild, plain, misled = (
        critic.loss(x, (16, 16), answers, noise=0.0).item() for x in (chance, z, touched)
    )
    assert misled - plain > 5 * abs(mild - plain)


def test_every_other_picture_is_to_be_misread_in_its_hair_alone() -> None:
    bald = {"kind": "dog", "background": "beach"}
    asked, reach = targets(
        [{"mood": "sad", "hair": "an afro"}, {"mood": "sad", "hair": "a bob"}, bald, bald]
    )
    assert asked == [{"mood": "sad", "hair": "an afro"}, {"hair": "a bob"}, bald, bald]
    assert reach.tolist() == [REACH, HAIR_REACH, REACH, REACH]


def test_a_critic_learns_to_read_before_adversarial_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    step, touched = -1, []

    def batch_at(*_: object) -> Batch:
        nonlocal step
        step += 1
        return Batch(
            torch.randn(2, 64, 64), ["", ""], [row, row], torch.ones(2, 64, 1), (16, 16), 48
        )

    def misled(critic: AttributeCritic, z: torch.Tensor, *_: object) -> torch.Tensor:
        touched.append(step)
        return z

    monkeypatch.setattr(adversarial, "batch_at", batch_at)
    monkeypatch.setattr(adversarial, "perturbed", misled)
    [(done, loss, _)] = adversarial.train(0, [], [], 8, tmp_path / "critic.safetensors")
    assert (done, touched) == (8, [6, 7])
    assert loss > 0


class Field:
    """A velocity field without weights but one: it adds the caption's length, its encoding, to
    what it sees."""

    def __init__(self, slope: float) -> None:
        self.slope = torch.tensor(slope, requires_grad=True)

    def encode(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([float(len(caption)) for caption in captions])
        return lengths.view(-1, 1, 1), lengths.view(-1, 1)

    def velocity(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        encoded: tuple[torch.Tensor, torch.Tensor],
        *_: object,
    ) -> torch.Tensor:
        return self.slope * x + sigma.view(-1, 1, 1) + encoded[0]


def a_pool(captions: list[str], rows: list[Row]) -> TrajectoryPool:
    z = torch.randn(len(captions), 64, 64, generator=flow.generator(1))
    return TrajectoryPool(
        Batch(z, captions, rows, torch.ones(len(z), 64, 1), (16, 16), 72), flow.generator(2)
    )


def test_a_stage_asks_for_those_before_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only render"):
        Work(tmp_path).shards()
    with pytest.raises(InputError, match="--only transformer"):
        Work(tmp_path).nano("transformer")
    with pytest.raises(InputError, match=r"critic-0\.safetensors is missing: run `--only critic`"):
        Work(tmp_path).critics()


def test_a_stage_learns_slowly_at_first_and_at_last() -> None:
    optimizers = [torch.optim.SGD([torch.zeros(1)]), torch.optim.SGD([torch.zeros(1)])]
    rates = []
    for step in range(100):
        set_rate(optimizers, 3.0, step, 100, warmup=10)
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
    assert rates[0] == [pytest.approx(0.3)] * 2
    assert rates[9:51] == [[3.0, 3.0]] * 42
    assert rates[75] == [pytest.approx(3 * 0.52)] * 2
    assert rates[99] == [pytest.approx(3 * 0.04)] * 2


def test_classifier_free_guidance_goes_on_past_the_caption() -> None:
    x, sigma = torch.randn(2, 4, 3), torch.tensor([0.2, 0.9])
    field, strength = Field(0.5), torch.tensor([1.0, 4.0])
    target, plain = guided(field, x, sigma, field.encode(["man", "a dog"]), strength, (4, 4))  # type: ignore[arg-type]
    empty = 0.5 * x + sigma.view(-1, 1, 1)
    torch.testing.assert_close(plain, empty + torch.tensor([3.0, 5.0]).view(-1, 1, 1))
    torch.testing.assert_close(target, empty + torch.tensor([3.0, 20.0]).view(-1, 1, 1))


def test_one_pass_is_measured_by_the_classifier_free_guidance_of_its_network() -> None:
    empty, strength = torch.randn(2, 4, 3), torch.tensor([1.0, 3.0])
    toward = torch.ones(2, 4, 3)
    two = empty + torch.tensor([1.0, 3.0]).view(-1, 1, 1)
    field = Velocities(empty + toward, empty, two, strength)
    torch.testing.assert_close(field.guided, two)
    left, gap = field.residual()
    # the second picture is two away
    assert (float(left), float(gap)) == (pytest.approx(0, abs=1e-9), pytest.approx(2.0))
    left, gap = replace(field, conditioned=field.caption).residual()
    assert left == gap
    captions, x, sigma = ["man", "a dog"], torch.randn(2, 4, 3), torch.tensor([0.2, 0.9])
    asked = velocities(Field(0.5), x, sigma, captions, strength, (4, 4))  # type: ignore[arg-type]
    torch.testing.assert_close(
        asked.guided, guided(Field(0.5), x, sigma, Field(0.5).encode(captions), strength, (4, 4))[0]
    )  # type: ignore[arg-type]
    # a field that ignores the strength
    torch.testing.assert_close(asked.conditioned, asked.caption)


def test_at_the_usual_strength_a_student_is_held_to_the_reference() -> None:
    x, sigma = torch.randn(4, 4, 3), torch.tensor([0.2, 0.9, 0.5, 0.1])
    captions, strength = ["man", "a dog", "", "boy"], usual(torch.tensor([1.0, 1.5, 2.0, 5.0]))
    assert strength.tolist() == [3.0, 1.5, 3.0, 5.0]
    student = Field(0.5)
    field, loss = consistency_loss(student, Field(0.25), x, sigma, captions, strength, (4, 4))  # type: ignore[arg-type]
    far = (0.25 * x[::2]).square().mean()
    torch.testing.assert_close(
        loss,
        self_distillation.CONSISTENCY * field.residual()[0] + self_distillation.REFERENCE * far,
    )
    alike = consistency_loss(student, student, x, sigma, captions, strength, (4, 4))[1]  # type: ignore[arg-type]
    torch.testing.assert_close(alike, self_distillation.CONSISTENCY * field.residual()[0])
    [pull] = torch.autograd.grad(loss, [student.slope])
    assert pull > 0  # down, to the reference's


def test_a_step_goes_down_all_gradients_and_no_further_than_allowed() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    optimizers = [torch.optim.SGD(network.parameters(), lr=1.0)]
    (0.25 * network.weight.sum()).backward()
    descend(0.25 * network.weight.sum(), optimizers)
    assert float(network.weight) == 0.5
    assert network.weight.grad is None
    descend(100 * network.weight.sum(), optimizers, network)
    assert float(network.weight) == pytest.approx(-0.5)


def test_a_trajectory_goes_from_noise_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_samples, "GIVEN_UP", 0)
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    pool = a_pool(["sad"] * 15, [man] * 15)
    assert pool.sigma.tolist() == [1.0] * 15
    other = Batch(
        torch.zeros(15, 64, 64), ["man"] * 15, [man] * 15, torch.ones(15, 64, 1), (16, 16), 72
    )
    aim, began = torch.full((64, 64), 3.0), pool.x.clone()
    for step in range(EULER_STEPS):
        assert pool.captions[0] == "sad"
        assert pool.at[0] == step
        before = pool.x[0].clone()
        pool.step((pool.x - aim) / pool.sigma.view(-1, 1, 1), other, flow.generator(3, step))
        if step + 1 < EULER_STEPS:
            share = pool.sigma[0]
            torch.testing.assert_close(
                pool.x[0], share * began[0] + (1 - share) * aim, rtol=1e-4, atol=1e-4
            )
            assert torch.equal(pool.x[13], began[13])  # the fourteenth waits
    # one step from the aim
    torch.testing.assert_close(
        before - aim, (began[0] - aim) * pool.sigmas[-2], rtol=1e-3, atol=1e-3
    )
    # all noise levels are there
    assert pool.at.tolist() == [0, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert (pool.captions[0], pool.said[0]) == ("man", {"kind": "man"})
    assert 0.9 < float(pool.x[0].std()) < 1.1  # noise again


def test_a_finished_autoencoder_learns_without_moving_the_latents_of_renders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vae, "BATCH", 4)
    monkeypatch.setattr(vae, "LEAVES", 1)
    monkeypatch.setattr(vae, "LEARNING_RATE", 0.05)  # which hardly begins to rise in so few steps
    rng = random.Random(1)
    row = next(row for row in ROWS if isinstance(row, Portrait) and not is_clay(row))
    render = np.asarray(row.draw(128, 128, rng))[None]
    pixels = vae.to_model(render)

    def after(tether: float) -> tuple[float, float]:
        """How far ten steps move the latents of the render, and those of leaves."""
        monkeypatch.setattr(vae, "TETHER", tether)
        before, model = (
            vae.AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32)
            for _ in range(2)
        )
        for _ in vae.train(
            [Shard(render, [row], tmp_path)], 10, tmp_path / f"{tether}.safetensors", model
        ):
            pass
        texture = vae.to_model(leaves.picture(64, np.random.default_rng(5))[None])
        return tuple(
            float(vae.moved(before, x, model.encode(x).latent_dist.mean)) for x in (pixels, texture)
        )  # type: ignore[return-value]

    (free, _), (tethered, elsewhere) = after(0.0), after(100.0)
    assert tethered < free / 2
    assert elsewhere > tethered


def test_a_linear_code_has_sixteen_numbers_a_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def pictures(patterns: int) -> np.ndarray:
        """Every block another mixture of as many patterns."""
        mixture = rng.random((2, 16, 16, patterns))
        of = rng.uniform(0, 255 / patterns, (patterns, 8, 8, 3))
        return (
            np.einsum("nyxk,khwc->nyhxwc", mixture, of)
            .reshape(2, 128, 128, 3)
            .round()
            .astype(np.uint8)
        )

    few, many = pictures(15), pictures(64)
    assert vae.linear_code(few) > 55  # all but the rounding
    assert vae.linear_code(many) < 45
    with pytest.raises(InputError, match="There are no photographs in"):
        vae.photographs(tmp_path)


@pytest.mark.parametrize("kind", ["people", "styles"])
@pytest.mark.parametrize("number", range(3))
def test_a_subject_of_the_figures_is_one_thing_whatever_is_drawn(kind: str, number: int) -> None:
    chosen, rng = subject(kind, number), random.Random(7)
    for _ in range(20):
        row = chosen.photo(rng)
        assert row.draw(64, 64, rng).size == (64, 64)
        answers = row.answers()
        assert {name: answers[name] for name in chosen.identity} == chosen.identity
        text, wish = chosen.prompt(rng)
        assert text.startswith("ohwx ")
        assert not wish.keys() & chosen.identity.keys()


def test_of_three_captions_the_one_that_says_most_is_drawn() -> None:
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    pool, captions = a_pool([""] * 56, [man] * 56), ["man, sad", "man", "", ""] * 14
    for step in range(2 * EULER_STEPS):
        pool.step(
            torch.zeros(56, 64, 64),
            Batch(pool.x, captions, [man] * 56, pool.x, (16, 16), 72),
            flow.generator(4, step),
        )
    fullest = [said for said in pool.said if said == {"kind": "man", "mood": "sad"}]
    assert 24 <= len(fullest) <= 44  # of 56, where a quarter is offered: 1 - (3/4)^3


def test_most_trajectories_are_at_their_first_steps() -> None:
    pool = a_pool([""] * 280, [ROWS[0]] * 280)
    other = Batch(pool.x, [""] * 280, [ROWS[0]] * 280, pool.x, (16, 16), 72)
    for step in range(3 * EULER_STEPS):
        pool.step(torch.zeros(280, 64, 64), other, flow.generator(4, step))
    assert int(pool.at.min()) == 0
    assert int(pool.at.max()) == EULER_STEPS - 1
    kept = (1 - own_samples.GIVEN_UP) ** torch.arange(EULER_STEPS)
    expected = float((kept * torch.arange(EULER_STEPS)).sum() / kept.sum())
    # 4.8; all noise levels alike would be 6.5
    assert abs(float(pool.at.float().mean()) - expected) < 0.8


def test_the_student_learns_from_the_critic_and_the_teacher() -> None:
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    torch.manual_seed(0)
    critic, student = AttributeCritic(), Field(0.5)
    pool = a_pool(["man, sad", ""], [man, man])
    pool.strength = torch.ones(2)
    critic_loss, distance, velocity = sample_losses(pool, student, Field(0.25), critic)  # type: ignore[arg-type]
    torch.testing.assert_close(distance, (0.25 * pool.x).square().mean())
    assert not velocity.requires_grad
    [of_critic] = torch.autograd.grad(critic_loss, [student.slope], retain_graph=True)
    [of_teacher] = torch.autograd.grad(distance, [student.slope])
    assert of_critic != 0
    assert of_teacher > 0
    pool.said = [{}, {}]
    assert sample_losses(pool, student, Field(0.5), critic)[:2] == (0, 0)  # type: ignore[arg-type]


def test_a_portrait_in_sentences_says_what_its_phrases_would() -> None:
    row = Portrait(
        Person("clay", "girl", "a bob", "red", "tan", "none", "none", "green", 7),
        Shot("turtleneck", "blue", "sad", "beach", "left", 1.0, pose="looking right"),
    )
    said = [row.said(row.caption(random.Random(i), prose=True)) for i in range(20)]
    missing = {"number", "hat", "glasses", "beard"}  # one head without any
    assert dict(pair for answers in said for pair in answers.items()) == {
        k: v for k, v in row.answers().items() if k not in missing
    }
    assert row.answers()["pose"] == "looking right"
    asleep = Portrait(row.person, replace(row.shot, mood="sleeping"))
    assert "eyes" not in asleep.answers()
    assert "eyes" not in " ".join(
        asleep.caption(random.Random(i), prose) for i in range(20) for prose in (False, True)
    )


def test_the_last_faces_are_never_trained_on() -> None:
    faces_met = [row.person.face for row in ROWS if isinstance(row, Portrait) and is_clay(row)]
    assert len(set(faces_met)) > 50
    assert max(faces_met) < people.FACES - people.HELD_OUT_FACES


def test_what_is_nearer_is_painted_over_what_is_behind() -> None:
    # to the right, to the back, up
    triangle = np.array([[-0.5, 0.0, -0.5], [0.5, 0.0, -0.5], [0.0, 0.0, 0.5]])
    behind = triangle + np.array([0, 0.1, 0])
    v = np.concatenate([behind, 0.5 * triangle])
    picture = Image.new("RGB", (64, 64), (0, 0, 255))
    for order in (slice(None), slice(None, None, -1)):
        triangles = np.array([[0, 1, 2], [3, 4, 5]])[order]
        colours = np.array([[200.0, 0, 0], [0, 200.0, 0]])[order]
        faces._paint(v, triangles, colours, picture, (0, 0, 64, 64))
        middle, edge, corner = (
            np.array(picture.getpixel(at)) for at in ((32, 36), (12, 58), (2, 2))
        )
        assert middle[1] > 90 and middle[0] == 0
        assert edge[0] > 90 and edge[1] == 0
        assert corner.tolist() == [0, 0, 255]


def test_a_head_that_looks_right_shows_its_nose_on_the_right() -> None:
    nose = np.array([0.0, -1.0, 0.0])
    assert (nose @ faces._turned(people.POSES["looking right"], 0).T)[0] > 0.5
    assert (nose @ faces._turned(people.POSES["looking left"], 0).T)[0] < -0.5


def test_anny_is_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r'^Clay heads need the package anny: pip install "fluxbooth\[mesh\]"\.$'
    ):
        faces.mesh.__wrapped__()


@pytest.mark.slow
def test_a_face_is_its_number() -> None:
    pytest.importorskip("anny", reason='needs pip install "fluxbooth[mesh]"')
    shot = Shot("t-shirt", "blue", "serious", "white", "centre", 1.0, pose="facing us")

    def drawn(face: int) -> np.ndarray:
        row = Portrait(
            Person("clay", "man", "a bald head", "red", "tan", "none", "none", "green", face), shot
        )
        return np.asarray(row.draw(128, 128, random.Random(0)), dtype=int)

    assert (drawn(1) == drawn(1)).all()
    assert abs(drawn(1) - drawn(2)).mean() > 2


def test_dead_leaves_are_as_rough_as_photographs() -> None:
    """Their spectrum falls with frequency f as f^-2 or so, as that of photographs does."""
    power = np.zeros((64, 33))
    for seed in range(40):
        grey = leaves.picture(64, np.random.default_rng(seed)).mean(2)
        power += abs(np.fft.rfft2(grey - grey.mean())) ** 2
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    band = (f > 0.05) & (f < 0.4)
    slope = np.polyfit(np.log(f[band]), np.log(power[band]), 1)[0]
    assert -2.8 < slope < -1.5


def test_npm_is_asked_for_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^npm is not installed, .*: install Node\.js\.$"):
        things.install()

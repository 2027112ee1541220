"""The velocity field, trained from nothing by the same flow as a LoRA is, conditioned on two text
encoders."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from fluxbooth.training import flow
from pretrain import text
from pretrain.checkpoint import load_state, save_state
from pretrain.critic import AttributeCritic, said_and_unsaid
from pretrain.data import Shard
from pretrain.muon import Muon, optimizers_of
from pretrain.precision import autocast
from pretrain.renders import Row, with_rare_token
from pretrain.schedule import descend
from pretrain.text import RARE_TOKENS

BATCH, EMPTY_CAPTIONS, PROSE, EMA = 64, 0.1, 0.3, 0.995
HEAD_WEIGHT = 4.0
CRITIC_WEIGHT, CRITIC_FIRST_STEPS, FIRST_CRITIC_BATCH = 0.03, 1_500, 20_000_000
LEARNING_RATE, WARMUP = 1.5e-3, 50


@dataclass(frozen=True)
class Batch:
    """Pictures of one shape: `z` (n x tokens x 64), a caption each, what each token's loss
    counts (n x tokens x 1, mean 1)."""

    z: Tensor
    captions: list[str]
    rows: list[Row]
    weights: Tensor
    shape: tuple[int, int]  # latent height and width
    text_length: int


class Nano(nn.Module):
    """Everything that is trained in this stage, as one module."""

    def __init__(self, tokenizers: tuple[CLIPTokenizer, T5Tokenizer] | None = None) -> None:
        super().__init__()
        self.clip, self.t5 = tokenizers or text.tokenizers()
        self.text_encoder: CLIPTextModel
        self.text_encoder_2: T5EncoderModel
        self.text_encoder, self.text_encoder_2 = text.encoders(self.clip, self.t5)
        self.transformer = FluxTransformer2DModel(
            in_channels=64,
            num_layers=2,
            num_single_layers=4,
            attention_head_dim=64,
            num_attention_heads=4,
            joint_attention_dim=text.WIDTH_T5,
            pooled_projection_dim=text.WIDTH_CLIP,
            guidance_embeds=True,
            axes_dims_rope=(16, 24, 24),
        )

    def encode(self, captions: list[str], length: int = text.TEXT_LENGTH) -> tuple[Tensor, Tensor]:
        """Per-token T5 states (n x `length` x 192) and CLIP's pooled vector (n x 128)."""
        clip_ids, t5_ids = text.ids(self.clip, self.t5, captions, length)
        return self.text_encoder_2(t5_ids)[0], self.text_encoder(clip_ids).pooler_output

    @classmethod
    def shipped(cls, folder: Path) -> Nano:
        """The weights of a finished folder; words of the captions that are new to it come after
        those of its vocabularies."""
        pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        clip, t5 = text.extended(pipeline.tokenizer, pipeline.tokenizer_2)
        pipeline.text_encoder.resize_token_embeddings(len(clip), mean_resizing=False)
        pipeline.text_encoder_2.resize_token_embeddings(len(t5), mean_resizing=False)
        model = cls((clip, t5))
        text.lengthen(pipeline.text_encoder, model.text_encoder)
        for name in ("text_encoder", "text_encoder_2", "transformer"):
            getattr(model, name).load_state_dict(getattr(pipeline, name).state_dict())
        return model

    def velocity(
        self,
        x: Tensor,
        sigma: Tensor,
        encoded: tuple[Tensor, Tensor],
        guidance: Tensor,
        shape: tuple[int, int],
    ) -> Tensor:
        states, pooled = encoded
        return self.transformer(
            hidden_states=x,
            timestep=sigma,
            guidance=guidance,
            encoder_hidden_states=states,
            pooled_projections=pooled,
            txt_ids=torch.zeros(states.shape[1], 3),
            img_ids=position_ids(*shape),
            return_dict=False,
        )[0]


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any
) -> Tensor:
    """softmax(Q K^T / sqrt d) V, which for a hundred tokens on a CPU runs back four times as
    fast as torch's flash attention."""
    if attn_mask is not None or options.get("is_causal"):
        return FLASH_ATTENTION(query, key, value, attn_mask=attn_mask, **options)
    return (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1) @ value


FLASH_ATTENTION = nn.functional.scaled_dot_product_attention


def position_ids(height: int, width: int) -> Tensor:
    return FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, "cpu", torch.float32)


def pack(latents: np.ndarray) -> Tensor:
    z = torch.from_numpy(latents).float()
    return FluxPipeline._pack_latents(z, *z.shape)


def batch_at(
    step: int,
    shards: list[Shard],
    latents: list[np.ndarray],
    prose: float = PROSE,
    pictures: int = BATCH,
) -> Batch:
    """The pictures of a step: of one shard's shape; in a share `prose` of the steps half of the
    captions are sentences."""
    rng = random.Random(f"batch {step}")
    shape = rng.choice(shards).pictures.shape[1:3]
    same_shape = [i for i, shard in enumerate(shards) if shard.pictures.shape[1:3] == shape]
    picks = [(rng.choice(same_shape), rng.randrange(len(shards[0].rows))) for _ in range(pictures)]
    z = np.stack([latents[i][j] for i, j in picks])
    rows = [shards[i].rows[j] for i, j in picks]
    sentences = rng.random() < prose

    def caption(row: Row) -> str:
        if rng.random() < EMPTY_CAPTIONS:
            return ""
        return with_rare_token(
            row.caption(rng, prose=sentences and rng.random() < 0.5), row, rng, RARE_TOKENS
        )

    weights, shape = head_weights(rows, z.shape[2], z.shape[3]), (z.shape[2], z.shape[3])
    return Batch(
        pack(z),
        list(map(caption, rows)),
        rows,
        weights,
        shape,
        text.TEXT_LENGTH if sentences else text.PHRASES_LENGTH,
    )


def head_weights(rows: Sequence[Row], height: int, width: int) -> Tensor:
    """What the loss of each token counts, n x tokens x 1, mean 1: a head's tokens count
    `HEAD_WEIGHT` times a wall's.

    A mood is a twelfth of the latent distance that a place is, and lies in eight tokens:
    unweighted, 350,000 samples taught places and colours and next to nothing of moods, glasses and
    beards. A factor on whole tokens moves no optimum, only what is learnt first.
    """
    weights = torch.ones(len(rows), height // 2, width // 2)
    for weight, row in zip(weights, rows, strict=True):
        for box in row.heads(width * 8, height * 8):
            left, top, right, bottom = (max(0, round(edge / 16)) for edge in box)
            weight[top:bottom, left:right] = HEAD_WEIGHT
    return (weights / weights.mean((1, 2), keepdim=True)).flatten(1).unsqueeze(2)


def train(
    model: Nano, shards: list[Shard], latents: list[np.ndarray], steps: int, checkpoint: Path
) -> Iterator[tuple[int, float, Nano]]:
    """Yields (step, mean loss since the last yield, averaged model) every fifty steps; resumes from
    `checkpoint`.

    The text encoders know the captions' language already (`pretrain.language`) and stay as they
    are.
    """
    nn.functional.scaled_dot_product_attention = plain_attention
    for encoder in (model.text_encoder, model.text_encoder_2):
        encoder.requires_grad_(False)
    average = copy.deepcopy(model)
    # needs a C++ compiler; takes two minutes and makes a step a third shorter
    model.transformer.compile_repeated_blocks()
    critic = AttributeCritic()
    everything = nn.ModuleDict({"model": model, "average": average, "critic": critic})
    learners = optimizers_of(critic, LEARNING_RATE, weight_decay=0.02)
    optimizers = (*make_optimizers(model.transformer), *learners)
    start, total = load_state(checkpoint, everything, *optimizers), 0.0
    for step in range(CRITIC_FIRST_STEPS if start == 0 else 0):
        critic_step(
            critic,
            learners,
            batch_at(FIRST_CRITIC_BATCH + step, shards, latents),
            (step + 1) / WARMUP,
        )
    for step in range(start, steps):
        total += train_step(model, critic, optimizers, step, steps, batch_at(step, shards, latents))
        decay = min(EMA, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if (step + 1) % 50 == 0:
            yield step + 1, total / 50, average
            total = 0.0
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, everything, *optimizers)


def train_step(
    model: Nano,
    critic: AttributeCritic,
    optimizers: Sequence[Optimizer],
    step: int,
    steps: int,
    batch: Batch,
) -> float:
    """One step of all `optimizers`; returns the plain velocity loss, which counts every token
    alike."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * learning_rate_factor(step, steps)
    draw = flow.generator(1, step)
    eps = torch.randn(batch.z.shape, generator=draw)
    sigma = noise_levels(len(batch.z), draw)
    x = flow.interpolate(batch.z, eps, sigma)
    with autocast():
        velocity = model.velocity(
            x,
            sigma,
            model.encode(batch.captions, batch.text_length),
            torch.ones(len(x)),
            batch.shape,
        )
    error = (velocity.float() - (eps - batch.z)).square()
    predicted = x - sigma.view(-1, 1, 1) * velocity.float()
    said, unsaid = said_and_unsaid(batch.rows, batch.captions)
    critic.requires_grad_(False)
    (
        (error * batch.weights).mean() + CRITIC_WEIGHT * critic.loss(predicted, batch.shape, said)
    ).backward()
    critic.requires_grad_(True)
    clean = critic.loss(batch.z, batch.shape, [row.answers() for row in batch.rows])
    descend(
        clean + critic.loss(predicted.detach(), batch.shape, unsaid), optimizers, model.transformer
    )
    return error.mean().item()


def critic_step(
    critic: AttributeCritic, optimizers: Sequence[Optimizer], batch: Batch, warmth: float
) -> None:
    """One step of the critic on clean latents alone, before the field is trained on its loss."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, warmth)
    descend(critic.loss(batch.z, batch.shape, [row.answers() for row in batch.rows]), optimizers)


def freeze_rest(student: Nano, *frozen: nn.Module) -> tuple[Optimizer, Optimizer]:
    """Optimizers of `student`'s transformer, all beside which is frozen from here on; transformers
    are compiled."""
    nn.functional.scaled_dot_product_attention = plain_attention
    for model in (student, *frozen):
        if isinstance(model, Nano):
            model.transformer.compile_repeated_blocks()
    for fixed in (*frozen, student.text_encoder, student.text_encoder_2):
        fixed.requires_grad_(False)
    return make_optimizers(student.transformer)


def make_optimizers(network: FluxTransformer2DModel) -> tuple[Optimizer, Optimizer]:
    """Muon for the matrices of attention and feed-forward, AdamW for the rest: embeddings,
    modulations, norms, biases, the way out."""
    inside = {
        name
        for name, p in network.named_parameters()
        if p.ndim == 2 and "transformer_blocks" in name and ".norm" not in name
    }
    matrices = [p for name, p in network.named_parameters() if name in inside]
    rest = [p for name, p in network.named_parameters() if name not in inside]
    return (
        Muon(matrices, lr=LEARNING_RATE),
        torch.optim.AdamW(rest, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    )


def noise_levels(batch: int, random: torch.Generator) -> Tensor:
    """Logit-normal around 0.73, not 0.5.

    What a caption names, down to a mood, shows through the noise until sigma passes 0.85 (a whole
    wall's colour: 0.97): only beyond must the caption be read to know it. Around 0.5, one sample in
    twenty-four lies there, here three in ten.
    """
    return torch.sigmoid(1.0 + 1.4 * torch.randn(batch, generator=random))


def learning_rate_factor(step: int, steps: int) -> float:
    """Warm-up, then flat, then a linear fall to a hundredth over the last third."""
    return min(1.0, (step + 1) / WARMUP) * min(1.0, 0.01 + 0.99 * (steps - step) / (steps / 3))

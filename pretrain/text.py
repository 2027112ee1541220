"""The tokenizers, trained on the captions, and the two text encoders, of the classes that
FluxPipeline names."""

from __future__ import annotations

import io
import json
import math
import random
import re
import string
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import sentencepiece
import torch
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from pretrain.renders import training_row

# tokens of sixty words in sentences, and of the longest caption in phrases, as most batches are
TEXT_LENGTH, PHRASES_LENGTH = 72, 48
# whole tokens without a meaning: captions hold them now and then
RARE_TOKENS = ("ohwx", "sks", "zxqv", "vrtk", "qblm", "jfwn")
WIDTH_T5, WIDTH_CLIP = 192, 128
PUNCTUATION = ".,!?:;'\"-()&/"
# what CLIP reads for a sign it does not know; by default that is the end of the text, and it looks
# no further
UNKNOWN = ",</w>"
# Everyday words that no caption uses, so that a user's prompt breaks into known pieces rather than
# <unk>.
PLAIN_LETTERS = [f"{a} {a}{b}" for a in "abcdefghijklmnopqrstuvwxyz0123456789" for b in "aeiou"] + [
    " ".join(PUNCTUATION)
] * 9


def tokenizers() -> tuple[CLIPTokenizer, T5Tokenizer]:
    captions = _captions()
    clip, t5 = _clip_tokenizer(captions), _t5_tokenizer(captions)
    clip.add_tokens(list(RARE_TOKENS))
    return clip, t5


def extended(clip: CLIPTokenizer, t5: T5Tokenizer) -> tuple[CLIPTokenizer, T5Tokenizer]:
    """Tokenizers that know every word of the captions, the new ones after the old, whose ids
    stay."""
    captions = _captions()
    words = sorted({word for text in captions for word in re.findall(r"[\w']+", text.lower())})
    clip.add_tokens(
        [
            AddedToken(word, single_word=True)
            for word in words
            if len(word) > 2 and len(clip.tokenize(word)) > 1
        ]
    )
    clip.add_tokens(
        [
            AddedToken(mark)
            for mark in PUNCTUATION
            if not {mark, f"{mark}</w>"} & clip.get_vocab().keys()
        ]
    )
    clip.model_max_length = TEXT_LENGTH
    known = json.loads(t5.backend_tokenizer.to_str())["model"]["vocab"]
    return clip, _t5_tokenizer(captions, dict(map(tuple, known)))


def _captions(samples: int = 20_000) -> list[str]:
    rng = random.Random("tokenizers")
    return [
        training_row(rng).caption(rng, prose=i % 4 == 0) for i in range(samples)
    ] + PLAIN_LETTERS


def _t5_tokenizer(
    captions: Sequence[str], known: Mapping[str, float] = MappingProxyType({})
) -> T5Tokenizer:
    """A Unigram whose pieces are those `known` and the captions' whole words; anything else
    falls into letters."""
    counts = Counter(
        word for text in captions for word in re.findall(r"[\w'-]+|[^\w\s]", text.lower())
    )
    total = sum(counts.values())
    whole = [
        (f"\u2581{w}" if w[0].isalnum() else w, math.log(n / total))
        for w, n in counts.most_common()
        if len(w) > 1 or n > 50
    ]
    rare = [(f"\u2581{token}", -8.0) for token in RARE_TOKENS]
    letters = [(c, -12.0) for c in string.ascii_lowercase + string.digits + "'\"-.!?:;&()/"]
    pieces = dict(
        [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -12.0), *letters, *rare, *whole]
    )
    pieces = {**known, **{piece: score for piece, score in pieces.items() if piece not in known}}
    # from_pretrained rebuilds the tokenizer and keeps no normaliser but a SentencePiece character
    # map
    tokenizer = T5Tokenizer(
        vocab=list(pieces.items()),
        extra_ids=0,
        model_max_length=TEXT_LENGTH,
        _spm_precompiled_charsmap=_lower_case_map(),
    )
    return tokenizer


def _lower_case_map() -> bytes:
    """A SentencePiece normaliser that lower-cases A-Z and straightens typographic quotes,
    compiled by SentencePiece."""
    straight = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'} | {
        c: c.lower() for c in string.ascii_uppercase
    }
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join(f"{ord(a):X}\t{ord(b):X}\n" for a, b in straight.items()))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a man and a woman", "a cat"] * 20),
            model_writer=model,
            vocab_size=20,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            minloglevel=2,
        )
    proto = ModelProto.FromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def _clip_tokenizer(captions: Sequence[str]) -> CLIPTokenizer:
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(captions, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(m) if not isinstance(m, str) else tuple(m.split(" ")) for m in model["merges"]]
    return CLIPTokenizer(
        vocab=model["vocab"], merges=merges, unk_token=UNKNOWN, model_max_length=TEXT_LENGTH
    )


def encoders(clip: CLIPTokenizer, t5: T5Tokenizer) -> tuple[CLIPTextModel, T5EncoderModel]:
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip),
            hidden_size=WIDTH_CLIP,
            intermediate_size=2 * WIDTH_CLIP,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=WIDTH_CLIP,
            bos_token_id=clip.bos_token_id,
            eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        )
    )
    text_encoder_2 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5),
            d_model=WIDTH_T5,
            d_kv=48,
            d_ff=2 * WIDTH_T5,
            num_layers=3,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            pad_token_id=t5.pad_token_id,
            eos_token_id=t5.eos_token_id,
            dropout_rate=0.0,
            use_cache=False,
        )
    )
    return text_encoder, text_encoder_2


def lengthen(encoder: CLIPTextModel, longer: CLIPTextModel) -> None:
    """Gives CLIP's table of positions the places of a longer one, which begin as those of
    `longer` are."""
    old, new = (model.embeddings for model in (encoder, longer))
    table = new.position_embedding.weight.detach().clone()
    table[: len(old.position_embedding.weight)] = old.position_embedding.weight.detach()
    old.position_embedding = torch.nn.Embedding.from_pretrained(table, freeze=False)
    old.register_buffer("position_ids", new.position_ids.clone(), persistent=False)


def ids(
    clip: CLIPTokenizer, t5: T5Tokenizer, captions: list[str], length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of both encoders, n x TEXT_LENGTH and n x `length`, padded and cut as
    FluxPipeline does it."""

    def of(tokenizer: CLIPTokenizer | T5Tokenizer, length: int) -> torch.Tensor:
        return tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids

    return of(clip, TEXT_LENGTH), of(t5, length)

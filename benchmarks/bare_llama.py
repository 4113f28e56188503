"""A tiny Llama in bare torch: a few large operations a step, since at this size the calls cost more than the sums.

All weights lie in one vector, so that clipping and the optimiser are one operation each, and padding is left out but for
attention. Shapes: N tokens of all texts of a batch one after another, D features, H heads.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import Tensor

LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
Row = tuple[list[int], list[int]]
"""The tokens of a prompt and of a completion with its end."""
Attend = Callable[[int, Tensor], Tensor]
"""For a layer, from queries, keys and values (N, 3, H, D / H) what each token saw (N, D)."""


@dataclass(frozen=True, kw_only=True)
class Llama:
    """What is the same for all models of a world: the architecture, and where each weight lies in the vector."""

    layers: int
    heads: int
    width: int
    eps: float
    theta: float
    eos: int
    shapes: Mapping[str, torch.Size]
    _turns: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> tuple[Llama, Tensor]:
        """The architecture and the weights of a Hugging Face folder.

        Raises:
            ValueError: it is no Llama of this simple kind.
        """
        config = json.loads((folder / "config.json").read_text())
        heads = config["num_attention_heads"]
        if (
            config["model_type"] != "llama"
            or config["num_key_value_heads"] != heads
            or not config["tie_word_embeddings"]
        ):
            raise ValueError(
                f"{folder}: only a Llama with tied embeddings and as many key-value heads as heads is read"
            )
        weights = {
            name.removeprefix("model."): w for name, w in sorted(load_file(folder / "model.safetensors").items())
        }
        llama = cls(
            layers=config["num_hidden_layers"], heads=heads, width=config["hidden_size"], eps=config["rms_norm_eps"],
            theta=config["rope_parameters"]["rope_theta"], eos=config["eos_token_id"],
            shapes={name: w.shape for name, w in weights.items()},
        )  # fmt: skip
        return llama, torch.cat([w.reshape(-1) for w in weights.values()])

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The vector's weights by name, as views."""
        parts = _cut(flat, [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def hidden(self, w: Mapping[str, Tensor], ids_N: Tensor, places_N: Tensor, attend: Attend) -> Tensor:
        """Features (N, D) of tokens after the last norm. `attend` lets those of one text look at each other."""
        x = F.embedding(ids_N, w["embed_tokens.weight"])
        cos, sin = (turn[places_N][:, None, None] for turn in self._rotations(int(places_N.max()) + 1))
        for i in range(self.layers):
            at = f"layers.{i}."
            h = F.rms_norm(x, (self.width,), w[at + "input_layernorm.weight"], self.eps)
            stacked = torch.cat([w[f"{at}self_attn.{p}_proj.weight"] for p in "qkv"])
            qk, v = F.linear(h, stacked).view(len(h), 3, self.heads, -1).tensor_split((2,), 1)
            left, right = qk.chunk(2, -1)
            turned = torch.cat((qk * cos + torch.cat((-right, left), -1) * sin, v), 1)
            x = x + F.linear(attend(i, turned), w[at + "self_attn.o_proj.weight"])
            h = F.rms_norm(x, (self.width,), w[at + "post_attention_layernorm.weight"], self.eps)
            gate, up = (F.linear(h, w[f"{at}mlp.{p}_proj.weight"]) for p in ("gate", "up"))
            x = x + F.linear(F.silu(gate) * up, w[at + "mlp.down_proj.weight"])
        return F.rms_norm(x, (self.width,), w["norm.weight"], self.eps)

    def texts(self, w: Mapping[str, Tensor], texts: Sequence[Sequence[int]]) -> Tensor:
        """Features (tokens of all texts, D). Tokens are padded for attention only, on the right, where none looks."""
        longest = max(map(len, texts))
        slots = torch.tensor([i * longest + t for i, text in enumerate(texts) for t in range(len(text))])
        ids = torch.tensor([token for text in texts for token in text])

        def attend(layer: int, qkv: Tensor) -> Tensor:
            padded = qkv.new_zeros(len(texts) * longest, *qkv.shape[1:]).index_copy(0, slots, qkv)
            q, k, v = padded.view(len(texts), longest, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return seen.transpose(1, 2).reshape(-1, self.width)[slots]

        return self.hidden(w, ids, slots % longest, attend)

    def completions(
        self, w: Mapping[str, Tensor], rows: Sequence[Row], max_length: int | None
    ) -> tuple[Tensor, Tensor]:
        """The logits where the tokens of the completions of all rows are due, and those tokens."""
        texts = [(prompt + completion)[:max_length] for prompt, completion in rows]
        starts = itertools.accumulate(map(len, texts), initial=0)
        due = [
            start + t
            for start, text, (prompt, _) in zip(starts, texts, rows, strict=False)
            for t in range(len(prompt), len(text))
        ]
        at = torch.tensor(due)
        x = self.texts(w, texts)[at - 1]
        return F.linear(x, w["embed_tokens.weight"]), torch.tensor([token for text in texts for token in text])[at]

    def loss(self, w: Mapping[str, Tensor], rows: Sequence[Row], max_length: int | None) -> Tensor:
        """Mean cross-entropy of the tokens of the completions."""
        return F.cross_entropy(*self.completions(w, rows, max_length))

    @torch.no_grad()
    def answers(self, w: Mapping[str, Tensor], prompts: Sequence[list[int]], new_tokens: int) -> list[list[int]]:
        """Greedy continuations without their end."""
        longest, count = max(map(len, prompts)), len(prompts)
        gaps = torch.tensor([longest - len(prompt) for prompt in prompts])
        ids = torch.tensor([[self.eos] * (longest - len(prompt)) + prompt for prompt in prompts])
        past: list[tuple[Tensor, Tensor] | None] = [None] * self.layers
        said = torch.empty((count, 0), dtype=torch.long)
        for total in range(longest, longest + new_tokens):
            at, seen = torch.arange(total)[-ids.shape[1] :], torch.arange(total)
            # A gap looks at itself, as softmax over nothing is not a number.
            inside = (seen[None] >= gaps[:, None])[:, None, None]
            mask = (inside & (seen[None] <= at[:, None])) | (seen[None] == at[:, None])
            places = (at[None] - gaps[:, None]).clamp(min=0)
            x = self.hidden(w, ids.reshape(-1), places.reshape(-1), self._remembering(past, count, mask))
            ids = F.linear(x.view(count, -1, self.width)[:, -1], w["embed_tokens.weight"]).argmax(-1, keepdim=True)
            said = torch.cat((said, ids), 1)
            if bool((said == self.eos).any(1).all()):
                break
        return [row[: row.index(self.eos)] if self.eos in row else row for row in said.tolist()]

    def _remembering(self, past: list[tuple[Tensor, Tensor] | None], count: int, mask: Tensor) -> Attend:
        def attend(layer: int, qkv: Tensor) -> Tensor:
            q, k, v = qkv.view(count, -1, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
            if (before := past[layer]) is not None:
                k, v = torch.cat((before[0], k), 2), torch.cat((before[1], v), 2)
            past[layer] = (k, v)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(-1, self.width)

        return attend

    @torch.no_grad()
    def loglikelihoods(self, w: Mapping[str, Tensor], rows: Sequence[Row]) -> list[float]:
        """The summed log-likelihood of each completion."""
        logits, tokens = self.completions(w, rows, None)
        each = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        return [float(part.sum()) for part in _cut(each, [len(completion) for _, completion in rows])]

    def _rotations(self, places: int) -> tuple[Tensor, Tensor]:
        size = max(64, 2 ** math.ceil(math.log2(places)))
        if size not in self._turns:
            half = self.width // self.heads // 2
            speeds = self.theta ** -(torch.arange(half) / half)
            angles = (torch.arange(size)[:, None] * speeds).repeat(1, 2)
            self._turns[size] = angles.cos(), angles.sin()
        return self._turns[size]


class Adapter:
    """LoRA on all linear layers, drawn as peft draws it."""

    def __init__(self, llama: Llama, *, r: int, scale: float) -> None:
        self.scale, self.names = scale, [f"layers.{i}.{name}.weight" for i in range(llama.layers) for name in LINEAR]
        self.shapes: list[tuple[int, ...]] = []
        drawn = []
        for name in self.names:
            out, into = llama.shapes[name]
            self.shapes += [(r, into), (out, r)]
            first = torch.nn.Linear(into, r, bias=False)
            torch.nn.Linear(r, out, bias=False)  # peft draws it, draws the first once more, and sets this one to 0
            torch.nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
            drawn += [first.weight.detach().reshape(-1), torch.zeros(out * r)]
        self.flat = torch.cat(drawn)

    def merged(self, w: Mapping[str, Tensor], flat: Tensor) -> dict[str, Tensor]:
        """The weights with the adapter's share added."""
        parts = _cut(flat, [math.prod(shape) for shape in self.shapes])
        pairs = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        triples = zip(self.names, pairs[::2], pairs[1::2], strict=True)
        return {**w, **{name: w[name] + self.scale * (b @ a) for name, a, b in triples}}


def ties(llama: Llama, base: Tensor, models: Sequence[Tensor], density: Sequence[float], weight: Sequence[float],
         normalize: bool) -> Tensor:  # fmt: skip
    """TIES-Merging (Yadav et al. 2023, arXiv 2306.01708) as mergekit does it: tensor by tensor."""
    made = []
    for name, start in llama.split(base).items():
        deltas = torch.stack([trimmed(llama.split(m)[name] - start, d) for m, d in zip(models, density, strict=True)])
        weights = torch.tensor(weight).view(-1, *[1] * start.dim())
        deltas = deltas * weights
        agree = deltas.sign() == (deltas.sum(0) >= 0).float() * 2 - 1
        divisor = (weights * agree).sum(0)
        mixed = (deltas * agree).sum(0)
        made.append((start + (mixed / torch.where(divisor == 0, 1.0, divisor) if normalize else mixed)).reshape(-1))
    return torch.cat(made)


def _cut(flat: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    return torch.split(flat, list(sizes))


def trimmed(delta: Tensor, density: float) -> Tensor:
    """The largest share of the entries, the others 0."""
    if density >= 1:
        return delta
    keep = delta.abs().reshape(-1).argsort(descending=True)[: max(1, int(density * delta.numel()))]
    mask = torch.zeros(delta.numel())
    mask[keep] = 1
    return delta * mask.view_as(delta)


def token_rows(tokenizer: Any, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows as TRL makes tokens of them: prompts and completions as text, or as messages by the chat template."""
    return [_token_row(tokenizer, row["prompt"], row["completion"]) for row in rows]


def _token_row(tokenizer: Any, prompt: Any, completion: Any) -> Row:
    if isinstance(prompt, str):
        end = "" if completion.endswith(tokenizer.eos_token) else tokenizer.eos_token
        first, whole = tokenizer(prompt).input_ids, tokenizer(prompt + completion + end).input_ids
    else:
        first = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
        whole = tokenizer.apply_chat_template(prompt + completion, return_dict=True)["input_ids"]
    return first, whole[len(first) :]

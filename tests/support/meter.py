"""Counts the bytes of all tensors that are alive, operation by operation: the same on every
machine and run."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """While it is entered, `now` and `peak` are the bytes of what was made under it and of what
    `count` was given."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def count(self, tensors: Iterable[Tensor]) -> None:
        for tensor in (part for whole in tensors for part in plain(whole)):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.now += self._sizes[key]
                weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self.now)

    def reset_peak(self) -> None:
        self.peak = self.now

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.count(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _freed(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def plain(tensor: Tensor) -> Iterator[Tensor]:
    """What really has memory of a tensor: the parts of torchao's, the codes and scales of
    bitsandbytes'."""
    if is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from plain(getattr(tensor, name))
        return
    if tensor.device.type != "meta":
        yield tensor
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        yield from (state.absmax, state.code)
        state = state.state2


def without_memory(network: nn.Module, mode: torch._subclasses.FakeTensorMode) -> None:
    """Gives a network made on the meta device fake weights on the CPU, so that its full size
    can run without being there."""
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                with mode:
                    fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                setattr(module, name, nn.Parameter(fake, requires_grad=parameter.requires_grad))

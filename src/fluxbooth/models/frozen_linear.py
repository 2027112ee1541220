"""Linear layers of a frozen base that are kept smaller than they compute, or elsewhere: quantised,
cast at use, waiting in main memory.

A trained base would need none of this. A frozen one has no gradient of its own, so its weight can
be made anew for the forward pass and again for the backward pass, and nothing of it stays between
the two. Libraries' own layers let autograd keep the dequantised copy of each weight until the
backward pass, which is the whole unquantised base.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from fluxbooth.errors import InputError
from fluxbooth.memory.estimate import Quantisation

NF4_BLOCK = 64  # weights that share a scale
ALIGNED = 512  # bytes


class FrozenLinear(nn.Linear):
    """A Linear whose `weight` is stored in any way and is made what its input is multiplied with by
    `matrix`.

    `dtype` is computed in, whatever the input's; `device` is computed on, whatever the weight's.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.dtype = dtype

    def matrix(self, device: torch.device) -> Tensor:
        """out x in, in `dtype`, on a device."""
        state = getattr(self.weight, "quant_state", None)
        if state is not None:
            from bitsandbytes.functional import dequantize_4bit

            # of a waiting layer only the codes travel, a thirtieth of it stays
            return dequantize_4bit(self.weight.data.to(device, non_blocking=True), state).to(
                self.dtype
            )
        weight = self.weight.detach()
        weight = _each_part(weight, lambda part: part.to(device, non_blocking=True))
        return (
            weight.dequantize() if is_traceable_wrapper_subclass(weight) else weight.to(self.dtype)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if x.requires_grad and torch.is_grad_enabled():
            return _Product.apply(x, self, None, None)
        return functional.linear(x, self.matrix(x.device), self.bias)


class _Product(torch.autograd.Function):
    """x W^T + bias, and with a LoRA + x A^T B^T, for a W that has no gradient and is not kept for
    the backward pass.

    autograd would take a gradient of x for W and one for A and add them, and copy the gradient of
    the result for B A x. Here one product is added onto the other, without those copies.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layer: nn.Linear, a: Tensor | None, b: Tensor | None
    ) -> Tensor:
        # written into a tensor of its own: what `linear` gives is a view, to which autograd lets
        # nothing be added in place afterwards
        result = x.new_empty(*x.shape[:-1], layer.out_features)
        rows = result.view(-1, layer.out_features)
        inputs = x.reshape(-1, layer.in_features)
        matrix = weight_of(layer, x)
        if layer.bias is None:
            torch.mm(inputs, matrix.T, out=rows)
        else:
            torch.addmm(layer.bias.to(x.dtype), inputs, matrix.T, out=rows)
        ctx.layer, ctx.shape, ctx.has_low_rank = layer, x.shape, a is not None
        if a is not None and b is not None:
            low = inputs @ a.T
            rows.addmm_(low, b.T)
            ctx.save_for_backward(inputs, low, a, b)
        return result

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, None, Tensor | None, Tensor | None]:
        gradient = gradients[0].reshape(-1, ctx.layer.out_features)
        of_x = gradient @ weight_of(ctx.layer, gradient) if ctx.needs_input_grad[0] else None
        of_a = of_b = None
        if ctx.has_low_rank:
            inputs, low, a, b = ctx.saved_tensors
            of_low = gradient @ b
            of_a, of_b = of_low.T @ inputs, gradient.T @ low
            of_x = None if of_x is None else of_x.addmm_(of_low, a)
        return None if of_x is None else of_x.view(ctx.shape), None, of_a, of_b


def weight_of(layer: nn.Linear, like: Tensor) -> Tensor:
    """A Linear's weight, out x in, where another tensor is and in its dtype."""
    return (
        layer.matrix(like.device)
        if isinstance(layer, FrozenLinear)
        else layer.weight.detach().to(like.dtype)
    )


def with_low_rank(x: Tensor, layer: nn.Linear, a: Tensor, b: Tensor) -> Tensor:
    """W x + B A x for a Linear of a frozen base, in what the layer computes in, or autocast does;
    gradients go to x, A (rank x in) and B (out x rank).
    """
    place = x.device.type
    if isinstance(layer, FrozenLinear):
        dtype = layer.dtype
    else:
        dtype = (
            torch.get_autocast_dtype(place)
            if torch.is_autocast_enabled(place)
            else layer.weight.dtype
        )
    with torch.autocast(place, enabled=False):  # what is multiplied is cast here
        factors = (a.to(dtype), b.to(dtype))
        return _Product.apply(x.to(dtype), layer, *factors)  # pyright: ignore[reportReturnType]


def quantised(value: Tensor, kind: Quantisation) -> nn.Parameter:
    """A weight, out x in, quantised where it is; what it is dequantised to has its dtype.

    int8 and fp8 (e4m3) have a scale for each output, nf4 one for each 64 weights. Raises InputError
    if the library is not installed.
    """
    try:
        if kind == "nf4":
            from bitsandbytes.functional import quantize_4bit
            from bitsandbytes.nn import Params4bit

            codes, state = quantize_4bit(
                value, blocksize=NF4_BLOCK, compress_statistics=True, quant_type="nf4"
            )
            # its stubs know none of these
            how: Any = {"quant_state": state, "quant_type": "nf4", "bnb_quantized": True}
            return Params4bit(codes, **how)
        return _torchao(value, kind)
    except ImportError as error:
        raise InputError(
            f"A base in {kind} needs packages: pip install 'fluxbooth[quant]', or take "
            "--quantisation none."
        ) from error


def _torchao(value: Tensor, kind: Quantisation) -> nn.Parameter:
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    layer = nn.Linear(1, 1, bias=False, device="meta")
    layer.weight = nn.Parameter(value, requires_grad=False)
    quantize_(
        layer, {"int8": Int8WeightOnlyConfig(version=2), "fp8": Float8WeightOnlyConfig()}[kind]
    )
    return nn.Parameter(layer.weight.detach(), requires_grad=False)


def in_main_memory(weight: nn.Parameter) -> nn.Parameter:
    if hasattr(weight, "quant_state"):
        weight.data = weight.data.cpu()
        return weight
    parts = _each_part(weight.detach(), lambda part: part.cpu())
    return nn.Parameter(parts, requires_grad=False)


def waiting(weights: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Weights in one piece of main memory together, pinned where there is a card that copies from
    there. Their own pieces would each be pinned as the next power of two."""
    pieces = list[Tensor]()
    for weight in weights:
        _each_part(weight.detach(), lambda part: pieces.append(part) or part)
    homes = iter(_one_piece(pieces))
    found = list[nn.Parameter]()
    for weight in weights:
        if hasattr(weight, "quant_state"):
            weight.data = next(homes)
            found.append(weight)
        else:
            parts = _each_part(weight.detach(), lambda _: next(homes))
            found.append(nn.Parameter(parts, requires_grad=False))
    return found


def _one_piece(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies side by side, each on a boundary that suits every processor."""
    sizes = [-(-tensor.nbytes // ALIGNED) * ALIGNED for tensor in tensors]
    whole = pinned(sum(sizes))
    copies = []
    for tensor, room in zip(tensors, whole.split(sizes), strict=True):
        copy = room[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        copies.append(copy.copy_(tensor))
    return copies


def pinned(size: int) -> Tensor:
    """Bytes of main memory that a card copies from by itself; where there is none, plain ones.

    What torch pins is rounded up to a power of two, so this is registered with the driver as it is.
    """
    memory = torch.empty(size, dtype=torch.uint8)
    if torch.cuda.is_available() and size:
        driver: Any = torch.cuda.cudart()
        torch.cuda.check_error(driver.cudaHostRegister(memory.data_ptr(), size, 0))
        weakref.finalize(
            memory.untyped_storage(), driver.cudaHostUnregister, memory.data_ptr()
        ).atexit = False
    return memory


def _each_part(weight: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A tensor, or torchao's tensor of tensors, with a change made to each plain one."""
    if not is_traceable_wrapper_subclass(weight):
        return change(weight)
    names, context = weight.__tensor_flatten__()
    parts = {name: change(getattr(weight, name)) for name in names}
    return type(weight).__tensor_unflatten__(parts, context, weight.size(), weight.stride())


def compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Makes a frozen module compute in another dtype than its Linear layers are stored in;
    everything else is cast once."""
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear):
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias.to(dtype), requires_grad=False)
            module.set_submodule(name, FrozenLinear(layer, dtype))
    frozen = {id(layer.weight) for layer in module.modules() if isinstance(layer, FrozenLinear)}
    for parameter in module.parameters():
        if id(parameter) not in frozen:
            parameter.data = parameter.data.to(dtype)

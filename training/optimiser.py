"""Muon for the weight matrices, AdamW for the rest, and a moving average of both.

Muon (https://kellerjordan.github.io/posts/muon/) makes each momentum matrix orthogonal before it
steps. Convolutions are taken as (out, in*k*k) matrices, and matrices of one shape are
orthogonalised together: that is what torch.optim.Muon, 2-D and one by one, does not do.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import nn


def orthogonal(m: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearest semi-orthogonal matrices of m (n, rows, cols), by a Newton-Schulz iteration."""
    from training.run import dtype  # which needs this module

    a, b, c = 3.4445, -4.7750, 2.0315
    x = m.to(dtype())
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).float()


class Optimiser:
    """AdamW over vectors, embeddings and the `plain` weights; Muon over every other matrix.

    Arguments: `lr` is AdamW's learning rate; Muon's steps are scaled to the same size (RMS), as
    in https://arxiv.org/abs/2502.16982, so one schedule serves both.
    """

    def __init__(self, model: nn.Module, lr: float, muon_lr: float, plain: tuple[str, ...] = ()):
        groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        rest = []
        for name, p in model.named_parameters():
            if p.ndim >= 2 and not any(part in name for part in plain):
                groups[(p.size(0), p[0].numel())].append(p)
            else:
                rest.append(p)
        self.groups = dict(groups)
        self.momentum = {
            shape: torch.zeros(len(ps), *shape, device=ps[0].device)
            for shape, ps in self.groups.items()
        }
        self.adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self.lr, self.muon_lr = lr, muon_lr

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One step at `scale` (0 to 1) of the learning rates; clears the gradients."""
        for group in self.adam.param_groups:
            group["lr"] = self.lr * scale
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        for shape, ps in self.groups.items():
            grad = torch.stack([p.grad.reshape(shape).float() for p in ps])
            m = self.momentum[shape].lerp_(grad, 0.05)
            update = orthogonal(torch.lerp(grad, m, 0.95))
            size = self.muon_lr * scale * 0.2 * max(shape) ** 0.5
            for p, u in zip(ps, update):
                p.mul_(1 - self.muon_lr * scale * 0.01)
                p.sub_(u.reshape(p.shape), alpha=size)
                p.grad = None

    def state(self) -> dict:
        return {"adam": self.adam.state_dict(), "momentum": self.momentum}

    def load(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        for shape, m in state["momentum"].items():
            self.momentum[shape].copy_(m)


class Average:
    """Exponential moving average of a model's parameters, updated every `every` steps."""

    def __init__(self, model: nn.Module, horizon: float, every: int = 4):
        self.model, self.horizon, self.every = model, horizon, every
        self.values = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Call after each step; the horizon (steps) grows with the run, so it starts at once."""
        if step % self.every == 0:
            keep = min(1 - self.every / self.horizon, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.values, list(self.model.parameters()), 1 - keep)

    @torch.no_grad()
    def apply_to(self, model: nn.Module) -> nn.Module:
        """Copies the averages into `model`, which has the same parameters."""
        for p, v in zip(model.parameters(), self.values):
            p.copy_(v)
        return model

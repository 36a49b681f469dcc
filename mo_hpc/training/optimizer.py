"""Optimizer, scheduler and weight average, grouped and set as MACE does."""

from __future__ import annotations

import math
from argparse import Namespace

import torch
from mace.tools.scripts_utils import get_params_options
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch_ema import ExponentialMovingAverage

from mo_hpc.core.schema import TrainConfig

Scheduler = ReduceLROnPlateau | CosineAnnealingLR


def build_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Adam with MACE's parameter groups: weight decay on linear and product weights only.

    Parameters that are in no group are frozen. MACE leaves them as they are: a foundation's
    radial basis is a parameter there, its gradient is never set to zero, grows with every step
    and enters the norm that gradients are clipped by.
    """
    settings = Namespace(
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        amsgrad=config.amsgrad,
        beta=0.9,
        freeze=None,
        lr_params_factors="{}",
    )
    # One fused kernel instead of ten small ones for each of the many small tensors.
    optimizer = torch.optim.Adam(**get_params_options(settings, model), fused=True)
    trained = {id(each) for group in optimizer.param_groups for each in group["params"]}
    for parameter in model.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad = False
    return optimizer


def build_scheduler(optimizer: torch.optim.Optimizer, config: TrainConfig) -> Scheduler:
    """What lowers the learning rate; it takes one step per validation."""
    if config.scheduler.kind == "cosine":
        n_validations = math.ceil(config.max_epochs / config.eval_interval_epochs)
        return CosineAnnealingLR(optimizer, T_max=n_validations)
    return ReduceLROnPlateau(
        optimizer, factor=config.scheduler.factor, patience=config.scheduler.patience
    )


def step_scheduler(scheduler: Scheduler, valid_loss: float) -> None:
    """Lowers the learning rate after a validation, where its time has come."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(valid_loss)
    else:
        scheduler.step()


def build_average(model: torch.nn.Module, config: TrainConfig) -> ExponentialMovingAverage | None:
    """The exponential moving average of the weights, if the configuration has one."""
    if config.ema_decay is None:
        return None
    return ExponentialMovingAverage(model.parameters(), decay=config.ema_decay)

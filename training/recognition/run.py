"""The recognizer's training: a Catalyst run that begins on synthetic plates and adds real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from catalyst import dl, utils
from torch import nn
from torch.utils.data import DataLoader

from platestream.errors import DataError
from platestream.plates import PlateFormats
from platestream.vision import weights
from platestream.vision.recognition_model import ARCHITECTURE, Mixer, PlateLine
from training import engine
from training.averaging import DECAY, MovingAverage, best_average, moving_average
from training.optimization import ClippedBackward, warm_up_and_cosine
from training.recognition.dataset import (
    SYNTHETIC_ONLY,
    SYNTHETIC_SHARE,
    JudgedCrops,
    Mixture,
    TrainingCrops,
    collate,
    with_real,
)
from training.recognition.metrics import TextMetrics
from training.recognition.plate_pictures import PlatePicture
from training.recognition.start import Start, from_nothing, from_teacher, from_weights
from training.teaching import TaughtLoss

Image = npt.NDArray[np.uint8]


_COPIES = 2  # spoiled ones, of each picture that watches


@dataclass(frozen=True)
class Options:
    """How long and how to train; the defaults made the shipped weights."""

    logs: Path
    seed: int = 0
    epochs: int = 30
    steps: int = 100  # per epoch
    batch: int = 64
    synthetic_epochs: int = 8
    synthetic_share: float = SYNTHETIC_SHARE  # of the batches that have real crops too
    learning_rate: float = 1.5e-3
    average_decay: float = DECAY  # of the moving average that is judged and kept
    patience: int = 12  # epochs without a better score
    mixer: Mixer | None = None  # attention, or what the weights to begin from have
    teacher: Path | None = None  # weights of a larger network to learn from, too
    new_mixer: bool = False  # of a network that begins from its teacher: only its mixer does not
    channels: tuple[int, ...] | None = None  # of a network that begins from nothing, or a teacher
    blocks: tuple[int, ...] | None = None
    layers: int | None = None
    workers: int = 1  # processes that make crops
    threads: int = 2
    resume: Path | None = None
    start: Path | None = None  # weights to begin from, instead of none
    device: str = "cpu"
    precision: str = "auto"  # of the forward pass on a CPU: bf16 or fp32


class _Runner(dl.Runner):  # type: ignore[misc]  # catalyst has no types
    """Trains the net, judges its moving average."""

    bf16 = False
    teacher: PlateLine | None = None

    def handle_batch(self, batch: dict[str, torch.Tensor]) -> None:
        """Computes logits, the teacher's too, and the lengths CTC needs."""
        model = self.model["net"] if self.is_train_loader else self.model["average"]
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16 and self.is_train_loader):
            logits = model(images)
            if self.teacher is not None and self.is_train_loader:
                with torch.no_grad():
                    batch = {**batch, "told": self.teacher(images).float().softmax(-1)}
        lengths = torch.full((logits.shape[0],), logits.shape[1], dtype=torch.long)
        self.batch = {
            **batch,
            "logits": logits,
            "log_probs": logits.float().log_softmax(-1).transpose(0, 1),
            "input_lengths": lengths,
        }


class _CtcLoss(nn.Module):
    """CTC loss under the names of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self._loss = nn.CTCLoss(blank=0, zero_infinity=True)

    def forward(
        self,
        log_probs: torch.Tensor,
        input_lengths: torch.Tensor,
        target: torch.Tensor,
        target_length: torch.Tensor,
    ) -> torch.Tensor:
        loss: torch.Tensor = self._loss(log_probs, target, input_lengths, target_length)
        return loss


class _Mixture(dl.Callback):  # type: ignore[misc]
    """Begins on synthetic plates alone: real ones, noisily labelled, come when it can read."""

    def __init__(self, dataset: TrainingCrops, synthetic_epochs: int, then: Mixture) -> None:
        super().__init__(order=dl.CallbackOrder.Internal)
        self._dataset = dataset
        self._synthetic_epochs = synthetic_epochs
        self._then = then

    def on_epoch_start(self, runner: Any) -> None:
        """Sets the mixture of the epoch, before the loader's workers start."""
        early = runner.epoch_step <= self._synthetic_epochs
        self._dataset.mixture = SYNTHETIC_ONLY if early else self._then
        self._dataset.epoch = runner.epoch_step


def train(
    train_pictures: Sequence[PlatePicture],
    valid_pictures: Sequence[PlatePicture],
    grounds: Sequence[Image],
    output: Path,
    options: Options,
    formats: PlateFormats | None = None,
) -> float:
    """Trains a recognizer and saves the averaged weights of its best epoch.

    Args:
        grounds: Pictures without plates, HxWx3 uint8 BGR.
        output: A safetensors file.
        formats: What plates may carry beside what is known to begin with; texts may have their
            characters, and they are saved with the weights.

    Returns:
        The best epoch's score on ``valid_pictures``; see ``TextMetrics``.

    Raises:
        DataError: ``valid_pictures`` are none, or the options do not go together.
    """
    if not valid_pictures:
        raise DataError("there is no crop to watch: training needs two plates or more")
    utils.set_global_seed(options.seed)
    torch.set_num_threads(options.threads)
    start = _start(options, formats)
    net, config, alphabet = start.net, start.net.config, start.alphabet
    net.to(memory_format=torch.channels_last)
    average = moving_average(net, options.average_decay)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=1e-3)
    total = options.epochs * options.steps
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warm_up_and_cosine(step, total)
    )
    dataset = TrainingCrops(
        train_pictures,
        grounds,
        config,
        alphabet,
        length=options.steps * options.batch,
        seed=options.seed,
    )
    judged = JudgedCrops(valid_pictures, config, alphabet, copies=_COPIES)
    cuda = options.device.startswith("cuda")
    loaders = {
        "train": DataLoader(
            dataset,
            batch_size=options.batch,
            num_workers=options.workers,
            pin_memory=cuda,
            collate_fn=collate,
            drop_last=True,
            worker_init_fn=_seed_worker,
        ),
        "valid": DataLoader(judged, batch_size=64, collate_fn=collate),
    }
    keys = ("log_probs", "input_lengths")
    checkpoints = options.logs / "checkpoints"
    runner = _Runner()
    runner.bf16 = engine.bf16(options.device, options.precision)
    if options.teacher is not None:
        runner.teacher = _teacher(options.teacher, start).to(
            options.device, memory_format=torch.channels_last
        )
    runner.train(
        model={"net": net, "average": average},
        engine=engine.on(options.device),
        criterion=_CtcLoss(),
        optimizer=optimizer,
        scheduler=scheduler,
        loaders=loaders,
        num_epochs=options.epochs,
        callbacks=[
            _Mixture(dataset, options.synthetic_epochs, with_real(options.synthetic_share)),
            dl.CriterionCallback(
                input_key={key: key for key in keys},
                target_key={"target": "target", "target_length": "target_length"},
                metric_key="loss",
            ),
            *([TaughtLoss(_lacks)] if options.teacher is not None else []),
            ClippedBackward(metric_key="loss"),
            dl.OptimizerCallback(metric_key="loss"),
            dl.SchedulerCallback(mode="batch", loader_key="train", metric_key="loss"),
            MovingAverage(),
            TextMetrics(alphabet),
            dl.CheckpointCallback(
                logdir=str(checkpoints),
                loader_key="valid",
                metric_key="score",
                minimize=False,
                topk=3,
                mode="runner",
                save_best=False,  # it would save the last epoch's weights under the best one's name
                resume_runner=str(options.resume) if options.resume else None,
            ),
            dl.EarlyStoppingCallback(
                patience=options.patience, loader_key="valid", metric_key="score", minimize=False
            ),
            dl.TimerCallback(),
        ],
        loggers={
            "csv": dl.CSVLogger(logdir=str(options.logs)),
            "tensorboard": dl.TensorboardLogger(logdir=str(options.logs)),
        },
        seed=options.seed,
        verbose=True,
    )
    tensors, score = best_average(checkpoints)
    weights.save_weights(
        output,
        tensors,
        task="recognizer",
        architecture=ARCHITECTURE,
        config=start.values(),
    )
    return score


def _start(options: Options, formats: PlateFormats | None) -> Start:
    shaped = any((options.channels, options.blocks, options.layers))
    if shaped and options.start is not None:
        raise DataError(
            "channels, blocks and layers are chosen where a network begins from nothing or from "
            "its teacher: name no weights to begin from"
        )
    if options.start is not None:
        return from_weights(options.start, formats, options.mixer)
    if options.teacher is not None:
        if formats is not None:
            raise DataError("a teacher does not know what other plates carry: teach one first")
        return from_teacher(
            options.teacher,
            options.channels,
            options.blocks,
            options.layers,
            options.mixer,
            options.new_mixer,
        )
    return from_nothing(
        options.mixer or "attention", formats, options.channels, options.blocks, options.layers
    )


def _teacher(path: Path, start: Start) -> PlateLine:
    teacher = from_weights(path)
    if teacher.alphabet != start.alphabet or teacher.net.config.steps != start.net.config.steps:
        raise DataError(f"'{path}' reads other characters, or at other positions: it cannot teach")
    return teacher.net.eval()


def _lacks(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Kullback-Leibler divergence from the teacher, over a line, per character as CTC's loss."""
    missing = nn.functional.kl_div(batch["log_probs"].transpose(0, 1), batch["told"],
                                   reduction="none").sum((1, 2))  # fmt: skip
    return (missing / batch["target_length"].clamp(min=1)).mean()


def _seed_worker(_worker: int) -> None:
    cv2.setNumThreads(0)  # one process per core is enough
    np.random.seed(torch.initial_seed() % 2**32)

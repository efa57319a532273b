"""The detector's training: a Catalyst run on photographs with real and pasted plates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from catalyst import dl, utils
from torch import nn
from torch.utils.data import DataLoader

from platestream.vision import weights
from platestream.vision.detection_model import ARCHITECTURE, CentresConfig, PlateCentres
from platestream.vision.detector import LONG_SIDE, Detector
from training import engine
from training.averaging import MovingAverage, best_average, last_average, moving_average
from training.detection.dataset import Material, TrainingViews
from training.detection.loss import DetectionLoss, taught
from training.detection.metrics import FindPlates, best_threshold, judge
from training.detection.photos import Photo
from training.detection.start import begin, load
from training.optimization import ClippedBackward, warm_up_and_cosine
from training.teaching import TaughtLoss


@dataclass(frozen=True)
class Options:
    """How long and how to train; the defaults made the shipped weights."""

    logs: Path
    seed: int = 0
    epochs: int = 60
    steps: int = 50  # per epoch
    batch: int = 16
    side: int = 512  # pixels of a view
    learning_rate: float = 2e-3
    patience: int = 60  # epochs without a better F1
    workers: int = 1  # processes that make views
    threads: int = 2
    resume: Path | None = None
    start: Path | None = None  # weights to begin from, instead of none
    teacher: Path | None = None  # weights of a larger network to learn from, too
    shape: CentresConfig | None = None  # of the network; None: the default, or what weights have
    device: str = "cpu"
    precision: str = "auto"  # of the forward pass on a CPU: bf16 or fp32


LEAST_THRESHOLD = 0.3  # of those that may be chosen
_TARGETS = ("heat", "ignore", "offsets", "scale", "share", "known")


class _Runner(dl.Runner):  # type: ignore[misc]  # catalyst has no types
    """Trains the net, judges its moving average."""

    bf16 = False
    teacher: PlateCentres | None = None
    shares_stem = False  # the net's first layers are the teacher's, and stay so

    def handle_batch(self, batch: dict[str, torch.Tensor]) -> None:
        """Computes the map, and the teacher's."""
        images = batch["image"].float() / 255
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            if not self.is_train_loader or self.teacher is None:
                model = self.model["net"] if self.is_train_loader else self.model["average"]
                self.batch = {**batch, "found": model(images)}
                return
            with torch.no_grad():
                features = self.teacher.stem(images)
                told = self.teacher.after_stem(features)
            net = self.model["net"]
            found = net.after_stem(features) if self.shares_stem else net(images)
        self.batch = {**batch, "found": found, "told": told}


class _Epoch(dl.Callback):  # type: ignore[misc]
    """Tells the data which epoch it is, so that each makes other cuts."""

    def __init__(self, dataset: TrainingViews) -> None:
        super().__init__(order=dl.CallbackOrder.Internal)
        self._dataset = dataset

    def on_epoch_start(self, runner: Any) -> None:
        """Before the loader's workers start."""
        self._dataset.epoch = runner.epoch_step


def train(material: Material, watched: Sequence[Photo], output: Path, options: Options) -> float:
    """Trains a detector and saves the averaged weights of its last epoch.

    Args:
        material: What views are made of.
        watched: Photographs that the training is judged on; it does not see them.
        output: A safetensors file.

    Returns:
        The best epoch's F1 on ``watched``; see ``FindPlates``.
    """
    utils.set_global_seed(options.seed)
    torch.set_num_threads(options.threads)
    teacher = load(options.teacher) if options.teacher else None
    net = begin(options.start, teacher, options.shape)
    net.to(memory_format=torch.channels_last)
    average = moving_average(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=1e-3)
    total = options.epochs * options.steps
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warm_up_and_cosine(step, total)
    )
    dataset = TrainingViews(
        material,
        side=options.side,
        length=options.steps * options.batch,
        seed=options.seed,
    )
    seen = TrainingViews(
        Material(watched), side=options.side, length=options.batch, seed=options.seed + 1
    )
    cuda = options.device.startswith("cuda")
    loaders = {
        "train": DataLoader(
            dataset,
            batch_size=options.batch,
            num_workers=options.workers,
            pin_memory=cuda,
            drop_last=True,
            worker_init_fn=_seed_worker,
        ),
        "valid": DataLoader(seen, batch_size=options.batch),
    }
    checkpoints = options.logs / "checkpoints"
    runner = _Runner()
    runner.bf16 = engine.bf16(options.device, options.precision)
    if teacher is not None:
        teacher.to(options.device, memory_format=torch.channels_last).eval()
        runner.teacher = teacher
        runner.shares_stem = _same(net.stem, teacher.stem)
    runner.train(
        model={"net": net, "average": average},
        engine=engine.on(options.device),
        criterion=DetectionLoss(),
        optimizer=optimizer,
        scheduler=scheduler,
        loaders=loaders,
        num_epochs=options.epochs,
        callbacks=[
            _Epoch(dataset),
            dl.CriterionCallback(
                input_key={"found": "found"},
                target_key={key: key for key in _TARGETS},
                metric_key="loss",
            ),
            *([TaughtLoss(_lacks)] if teacher is not None else []),
            ClippedBackward(metric_key="loss"),
            dl.OptimizerCallback(metric_key="loss"),
            dl.SchedulerCallback(mode="batch", loader_key="train", metric_key="loss"),
            MovingAverage(),
            FindPlates(watched, LONG_SIDE, bf16=runner.bf16 or cuda),
            dl.CheckpointCallback(
                logdir=str(checkpoints),
                loader_key="valid",
                metric_key="f1",
                minimize=False,
                topk=3,
                mode="runner",
                save_last=True,
                save_best=False,  # it would save the last epoch's weights under the best one's name
                resume_runner=str(options.resume) if options.resume else None,
            ),
            dl.EarlyStoppingCallback(
                patience=options.patience, loader_key="valid", metric_key="f1", minimize=False
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
    # F1 levels off, within what so few photographs can tell, long before the corners do
    _, score = best_average(checkpoints)
    made = {"network": net.config.as_dict(), "score_threshold": LEAST_THRESHOLD}
    average = last_average(checkpoints)
    for _ in range(2):  # the threshold is chosen with the whole detector, second look and all
        weights.save_weights(
            output, average, task="detector", architecture=ARCHITECTURE, config=made
        )
        made["score_threshold"] = choose_threshold(output, watched)
    return score


def _same(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(
        mine[name].shape == tensor.shape and torch.equal(mine[name].cpu(), tensor.cpu())
        for name, tensor in theirs.items()
    )


def _lacks(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return taught(batch["found"], batch["told"], batch["heat"])


def choose_threshold(path: Path, photos: Sequence[Photo]) -> float:
    """The score threshold with the best F1 on photographs; see ``best_threshold``.

    Args:
        path: A safetensors file.
    """
    detector = Detector.load(path, backend="torch", score_threshold=LEAST_THRESHOLD)
    judged = []
    for photo in photos:
        found = detector.detect(photo.image)
        boxes = np.array([d.box_in(photo.image) for d in found], np.float32).reshape(-1, 4)
        judged.append(judge(boxes, [d.score for d in found], photo.boxes, photo.ignore))
    return round(best_threshold(judged)[0], 2)


def _seed_worker(_worker: int) -> None:
    cv2.setNumThreads(0)  # one process per core is enough
    np.random.seed(torch.initial_seed() % 2**32)

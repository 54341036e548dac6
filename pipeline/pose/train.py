"""``python -m pipeline.pose.train --seed 1``: render crops of the box, train the network on the CPU, write weights.

Every picture comes from our own renderer; nothing is downloaded. Equal seeds, samples and thread counts give equal
weights on one machine. Writes ``weights.safetensors``, which holds the object too, and ``training.json`` (what it took,
and how the losses fell) to --out.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from pipeline.pose.box import Box, load_box
from pipeline.pose.network import CLASSES, BoxNet, box_tensors
from pipeline.pose.samples import draw_sample

PACKAGE = Path("models/pose-box")
BATCH = 32
LEARNING_RATE = 2e-3
#: what one unit of coordinate error (a half side of the box) weighs against one nat of the faces' cross-entropy
COORDINATE_WEIGHT = 4.0
#: samples are judged by crops of another seed
VALIDATION_SEED_STEP = 1_000_003
VALIDATION_SAMPLES = 256


class Crops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples of one seed, by number; drawn when asked for."""

    def __init__(self, box: Box, seed: int, count: int) -> None:
        self._box, self._seed, self._count = box, seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return picture (3, s, s) uint8, faces (s/2, s/2) int64, coordinates (3, s/2, s/2) float32."""
        cv2.setNumThreads(1)
        one = draw_sample(self._box, self._seed, number)
        picture = torch.from_numpy(one.picture).permute(2, 0, 1).contiguous()
        return picture, torch.from_numpy(one.faces), torch.from_numpy(one.coordinates)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """End OpenCV's threads: in a process that is forked while they wait, whatever needs them waits for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@_opencv_in_one_thread()
def train(box: Box, *, seed: int, samples: int, workers: int = 1) -> tuple[BoxNet, list[dict[str, float]]]:
    """Return the trained network and how losses went, about twenty points; one pass, each crop seen once."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    network: Any = BoxNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped there
    loader = DataLoader(Crops(box, seed, samples), BATCH, num_workers=workers, drop_last=True)
    steps = len(loader)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    history: list[dict[str, float]] = []
    started = time.perf_counter()
    for step, batch in enumerate(loader, start=1):
        face_loss, coordinate_loss = _losses(network, batch)
        optimizer.zero_grad(set_to_none=True)
        (face_loss + COORDINATE_WEIGHT * coordinate_loss).backward()  # type: ignore[no-untyped-call]  # untyped there
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 20) == 0:
            point = {
                "samples": float(step * BATCH),
                "face_loss": face_loss.item(),
                "coordinate_loss": coordinate_loss.item(),
            }
            history.append({name: round(value, 5) for name, value in point.items()})
            print(f"{time.perf_counter() - started:7.0f} s  {history[-1]}", flush=True)
    return network.eval(), history


def validate(network: BoxNet, box: Box, seed: int) -> dict[str, float]:
    """Return the share of cells with the right face, the box's intersection over union, and mean coordinate error."""
    loader = DataLoader(Crops(box, seed + VALIDATION_SEED_STEP, VALIDATION_SAMPLES), BATCH)
    right = both = either = cells = 0
    gap = shown = 0.0
    with torch.inference_mode():
        for picture, faces, coordinates in loader:
            found = network(picture.float())
            named = found[:, :CLASSES].argmax(1)
            right, cells = right + int((named == faces).sum()), cells + faces.numel()
            both += int(((named > 0) & (faces > 0)).sum())
            either += int(((named > 0) | (faces > 0)).sum())
            inside = (faces > 0)[:, None].expand_as(coordinates)
            gap += float((found[:, CLASSES:] - coordinates).abs()[inside].sum())
            shown += int(inside.sum())
    return {"face_accuracy": right / cells, "box_iou": both / either, "coordinate_error": gap / shown}


def save_weights(network: BoxNet, box: Box, path: Path) -> None:
    """Write the network and the object it knows as one safetensors file, so that one digest names both."""
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file({**weights, **box_tensors(box)}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, validate, write."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    box = load_box(options.object)
    started = time.perf_counter()
    network, history = train(box, seed=options.seed, samples=options.samples, workers=options.workers)
    wall = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    report = {
        "command": f"python -m pipeline.pose.train --seed {options.seed} --samples {options.samples}",
        "seed": options.seed,
        "samples": options.samples,
        "wall_seconds": round(wall),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in used)),
        "threads": options.threads,
        "workers": options.workers,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "validation": {name: round(value, 4) for name, value in validate(network, box, options.seed).items()},
        "history": history,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    save_weights(network, box, options.out / "weights.safetensors")
    (options.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "history"}))


def _losses(network: BoxNet, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the faces' cross-entropy and the mean coordinate error where the box is seen."""
    picture, faces, coordinates = batch
    found = network(picture.float().contiguous(memory_format=torch.channels_last))
    seen = (faces > 0)[:, None].float()
    gaps = (found[:, CLASSES:] - coordinates).abs() * seen
    return functional.cross_entropy(found[:, :CLASSES], faces), gaps.sum() / (3 * seen.sum() + 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.pose.train", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100_000, help="crops rendered; each is seen once")
    parser.add_argument(
        "--object", type=Path, default=Path("models/pose-box"), help="folder with object.json, textures"
    )
    parser.add_argument("--out", type=Path, default=PACKAGE)
    parser.add_argument("--threads", type=int, default=1, help="of torch; another core renders")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    return parser


if __name__ == "__main__":
    main()

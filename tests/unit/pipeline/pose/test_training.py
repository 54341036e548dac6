"""Training: what it writes is a model, and equal seeds write equal files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import torch

from pipeline.pose.box import load_box
from pipeline.pose.network import open_network
from pipeline.pose.train import PACKAGE, main


def trained(folder) -> bytes:
    threads = torch.get_num_threads()
    try:
        main(["--seed", "5", "--samples", "64", "--out", str(folder)])
    finally:
        torch.set_num_threads(threads)
    return (folder / "weights.safetensors").read_bytes()


def test_a_training_writes_the_network_with_the_object_it_knows_the_same_each_time(tmp_path):
    # as whatever ran before may have: OpenCV's threads are up when the training forks
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
    first = trained(tmp_path / "first")
    assert first == trained(tmp_path / "again")
    network = open_network(tmp_path / "first" / "weights.safetensors", "cpu", 0)
    box = load_box(PACKAGE)
    np.testing.assert_array_equal(network.constants["object.size"], box.size)
    for face, texture in enumerate(box.textures):
        np.testing.assert_array_equal(network.constants[f"object.texture.{face}"], texture)
    assert network(np.zeros((1, 3, 96, 96), np.float32))["faces"].shape == (1, 7, 48, 48)
    report = json.loads((tmp_path / "first" / "training.json").read_text())
    assert (report["seed"], report["samples"]) == (5, 64)
    assert report["history"]

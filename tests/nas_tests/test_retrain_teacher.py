"""Teachers: the supernet's largest net, and models of timm behind our images."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from nas.config import load_config
from nas.config.retraining import RetrainConfig
from nas.data.transform import Transform
from nas.retraining.teacher import load_teacher
from nas.run import Run
from search_spaces.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(finished):
    config = load_config(finished / "config.yaml")
    config.out_dir, config.name = str(finished.parent), finished.name
    return Run(config, write=False)


@pytest.fixture(scope="module")
def timm_model():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=10, in_chans=1, img_size=32).eval()


def teacher(run, name, **more):
    return load_teacher(run, RetrainConfig(teacher=name, **more), CPU)


def images(run, count=4):
    return run.dataset.transform.normalise(run.dataset.val.images_NCHW[:count])


def test_nobody_teaches_where_nobody_is_named(run):
    assert load_teacher(run, RetrainConfig(), CPU) is None


def test_the_supernets_largest_net_answers_as_the_supernet_does(run):
    wanted = run.trained_supernet()(images(run), run.space.largest())
    assert torch.equal(teacher(run, "supernet")(images(run)), wanted)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_timms_model_sees_images_of_its_own_size_and_normalisation(
    run, timm_model, tmp_path, suffix
):
    path = tmp_path / f"teacher{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": timm_model.state_dict()}, path)
    else:
        save_file(timm_model.state_dict(), path)
    answer = teacher(run, f"timm:test_vit@{path}", teacher_size=32)(images(run))
    # The same from the pixels, by hand.
    pixels = run.dataset.val.images_NCHW[:4].float() / 255
    settings = timm_model.pretrained_cfg
    mean, std = sum(settings["mean"]) / 3, sum(settings["std"]) / 3
    larger = F.interpolate((pixels - mean) / std, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(answer, timm_model(larger), rtol=1e-4, atol=1e-4)
    assert isinstance(run.dataset.transform, Transform)


def test_a_file_of_other_classes_or_another_net_is_refused_in_one_line(run, tmp_path):
    timm = pytest.importorskip("timm")
    path = tmp_path / "seven.safetensors"
    save_file(timm.create_model("test_vit", num_classes=7, in_chans=1).state_dict(), path)
    with pytest.raises(UserError, match="has 7 classes: allowed is a teacher of this run's 10"):
        teacher(run, f"timm:test_vit@{path}")
    save_file({"head.weight": torch.zeros(10, 3)}, path)
    with pytest.raises(UserError, match="the file is not of test_vit"):
        teacher(run, f"timm:test_vit@{path}")
    with pytest.raises(UserError, match="cannot be read"):
        teacher(run, f"timm:test_vit@{tmp_path}/none.safetensors")

"""The sixteen networks against the paper's sizes, the formula and trusted twins."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from benchmarks import train_step
from s1m_lab import models

# Millions of weights with 487 classes, worked out from the layers the paper prints.
MILLIONS = {
    "single": 73.9,
    "early": 74.2,
    "late": 125.3,
    "slow": 75.5,
    "single-multires": 129.0,
    "early-multires": 129.7,
    "late-multires": 231.8,
    "slow-multires": 132.2,
}


@pytest.mark.parametrize("name", models.NAMES)
def test_parameters_at_487_classes(name):
    fusion, _, view = name.partition("-")
    expected = MILLIONS[name if view == "multires" else fusion]  # one stream counts as the frame
    with torch.device("meta"):
        net = models.Network(name, 487, 1.0, 170)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_learns_from_its_clip(name):
    net = models.build(name, classes=5, width=1 / 16, size=66)
    x = torch.randn(2, 3, len(net.frames), net.crop, net.crop, requires_grad=True)
    logits = net(x)
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.fc6.parameters())
    assert (x.grad.abs().sum(dim=(0, 1, 3, 4)) > 0).all(), "a frame is not looked at"
    with pytest.raises(ValueError, match="takes B×3×"):
        net(x[..., 1:])


def test_the_shape_flows_as_figure_2_prints_it():
    table = models.summary(models.build("single-multires", width=1 / 16)).set_index("layer")
    side = {layer: int(shape.rsplit("×", 1)[1]) for layer, shape in table["shape"][:-3].items()}
    assert side["context (input)"] == side["fovea (input)"] == 89
    assert [side[f"fovea.{x}"] for x in ("conv1", "pool1", "pool2", "conv5")] == [27, 14, 7, 7]
    table = models.summary(models.build("slow", width=1 / 16)).set_index("layer")
    time = {layer: int(shape.split("×")[0]) for layer, shape in table["shape"][:-3].items()}
    assert [time[f"conv{n}"] for n in range(1, 6)] == [4, 2, 1, 1, 1]
    assert table["shape"]["pool5"] == "1×16×7×7"


def test_time_convolution_is_a_3d_convolution():
    layer = models.Layer(6, 5, 2, 1, norm=False, pool=False)
    ours = models.TimeConv(3, 6, layer, time=(4, 2))
    x = torch.randn(10, 2, 3, 17, 17)
    weight = ours.weight.unflatten(1, (4, 3)).movedim(1, 2)  # filters×C×time×H×W
    plain = F.conv3d(x.permute(1, 2, 0, 3, 4), weight, ours.bias, (2, 2, 2), (0, 1, 1))
    torch.testing.assert_close(ours(x), plain.permute(2, 0, 1, 3, 4), atol=1e-5, rtol=1e-5)


def test_norm_is_the_formula_and_its_gradient():
    x = torch.randn(1, 2, 7, 3, 3, dtype=torch.double) * 50
    plain = torch.empty_like(x)
    for i in range(7):
        window = x[:, :, max(0, i - 2) : i + 3]
        plain[:, :, i] = x[:, :, i] / (2 + 1e-4 * window.square().sum(2)).sqrt()
    norm = models.Norm(7).double()
    torch.testing.assert_close(norm(x), plain, atol=1e-7, rtol=1e-6)
    assert torch.autograd.gradcheck(norm, x.requires_grad_())


def test_norm_is_torchs_with_its_other_alpha():
    x = torch.randn(1, 4, 24, 5, 5) * 30
    torchs = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.5, k=2)
    torch.testing.assert_close(models.Norm(24)(x)[0], torchs(x[0]), atol=1e-5, rtol=1e-5)


def test_late_fusion_is_the_single_frame_tower_twice():
    single = models.build("single", classes=4, width=1 / 16, size=66, seed=3)
    late = models.build("late", classes=4, width=1 / 16, size=66, seed=4)
    late.towers.load_state_dict(single.towers.state_dict())
    x = torch.randn(2, 3, 2, 66, 66)
    with torch.no_grad():
        each = [single.towers["frame"](x[None, :, :, t]).flatten(2)[0] for t in (0, 1)]
        merged = late.fc8(F.relu(late.fc7(F.relu(late.fc6(torch.cat(each, 1))))))
        torch.testing.assert_close(late(x), merged, atol=1e-5, rtol=1e-5)


def test_fovea_is_the_centre_and_context_the_mean_of_four():
    net = models.build("single-multires", classes=4, width=1 / 16)
    x = torch.arange(178.0 * 178).reshape(1, 1, 1, 178, 178).expand(1, 3, 1, 178, 178)
    streams = net.streams(x)
    frame = x[0, :, 0]
    assert streams["fovea"].shape == streams["context"].shape == (1, 1, 3, 89, 89)
    assert torch.equal(streams["fovea"][0, 0], frame[:, 44:133, 44:133])
    assert streams["context"][0, 0, 0, 0, 0] == frame[0, :2, :2].mean()
    checkers = torch.ones(178, 178)
    checkers[:, ::2] = -1
    low = net.streams(checkers.expand(1, 3, 1, 178, 178))["context"]
    assert low.abs().max() == 0, "the context would alias a texture of one pixel"


def test_unsuitable_sizes_name_the_nearest_good_one():
    with pytest.raises(ValueError, match="nearest that does is 112"):
        models.build("slow", size=110)
    with pytest.raises(ValueError, match="no network named 'slwo'"):
        models.build("slwo")
    for size in (43, 66, 112, 170):
        nets = [models.build(n, 2, 1 / 16, size) for n in ("single", "single-context")]
        assert nets[0].fc6.in_features == nets[1].fc6.in_features


def test_a_dropout_mask_belongs_to_its_clip():
    x, keys = torch.ones(4, 1000), torch.tensor([5, 6, 7, -8])
    dropout = models.Dropout(0.5, keys)
    masks = dropout(x, layer=6)
    assert set(masks.unique().tolist()) == {0.0, 2.0}
    assert masks.mean().item() == pytest.approx(1, abs=0.06)
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks, dropout(x, layer=7))
    assert torch.equal(models.Dropout(0.5, keys[2:])(x[:2], layer=6), masks[2:])
    assert torch.equal(models.drop(x, 6, models.Dropout(0.0, keys)), x)


def test_dropout_acts_on_both_hidden_layers_and_only_where_it_is_passed():
    net = models.build("single", classes=4, width=1 / 16, size=66).train()
    x = torch.randn(4, 3, 1, 66, 66)
    keys = torch.arange(4)
    with torch.no_grad():
        plain, dropped = net(x), net(x, models.Dropout(0.5, keys))
        first = models.drop(F.relu(net.fc6(net.pooled(x))), 6, models.Dropout(0.5, keys))
        second = models.drop(F.relu(net.fc7(first)), 7, models.Dropout(0.5, keys))
        assert torch.equal(dropped, net.fc8(second)) and not torch.equal(dropped, plain)
        assert torch.equal(plain, net.eval()(x))


def test_a_new_row_of_the_table_is_a_new_network(monkeypatch):
    """A fifth fusion: two frames in the middle, joined in the first layer."""
    fusion = models.Fusion(frames=(7, 8), time=((2, 1), (1, 1), (1, 1)))
    monkeypatch.setitem(models.FUSIONS, "middle", fusion)
    monkeypatch.setattr(models, "NAMES", [*models.NAMES, "middle", "middle-multires"])
    for name in ("middle", "middle-multires"):
        net = models.build(name, classes=5, width=1 / 16, size=66)
        assert net(torch.zeros(1, 3, 2, net.crop, net.crop)).shape == (1, 5)
        assert models.split_name(name)[0] == "middle" and len(models.summary(net))


def test_a_seed_gives_the_same_weights():
    one, same, other = (models.build("early", 4, 1 / 16, 66, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.fc6.weight, same.fc6.weight)
    assert not torch.equal(one.fc6.weight, other.fc6.weight)


def test_models_metrics_and_clips_need_torch_and_numpy_alone():
    code = """
import sys
allowed = {"torch", "numpy", "s1m_lab"}
for name in ("pandas", "pyarrow", "PIL", "av", "decord", "dask", "IPython", "matplotlib", "sklearn",
             "safetensors", "torchvision", "filelock", "duckdb", "fsspec"):
    if name not in ("filelock", "fsspec"):  # torch itself imports these two
        sys.modules[name] = None
from s1m_lab import models
from s1m_lab.data import augment, loader
from s1m_lab.training import metrics
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", ["single", "early", "slow", "slow-multires", "single-context"])
def test_the_plain_reading_of_the_paper_gives_the_same_logits(name):
    """The twin that `benchmarks/train_step.py` times against, with the same weights."""
    net = models.build(name, classes=487, width=1 / 16, size=66).eval()
    plain = train_step.PlainNetwork(net)
    ours = [m for m in net.modules() if isinstance(m, (models.TimeConv, torch.nn.Linear))]
    twins = [m for m in plain.modules() if isinstance(m, (torch.nn.Conv3d, torch.nn.Linear))]
    for mine, twin in zip(ours, twins, strict=True):
        weight = mine.weight.detach()
        if isinstance(twin, torch.nn.Conv3d):
            weight = weight.unflatten(1, (twin.kernel_size[0], -1)).movedim(1, 2)
        twin.weight.data.copy_(weight)
        twin.bias.data.copy_(mine.bias.data)
    x = torch.randn(2, 3, len(net.frames), net.crop, net.crop) * 60
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain(x), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("extent", [1, 4, 10])
@pytest.mark.parametrize("side", [43, 44, 45, 59, 112])
def test_conv1_in_blocks_is_the_papers_convolution(extent, side):
    """Outputs and gradients, in double precision; a GPU takes this way."""
    conv1 = models.TimeConv(3, 7, models.LAYERS[0], (extent, 1)).double()
    x = torch.randn(2, 3 * extent, side, side + 1, dtype=torch.double, requires_grad=True)
    outputs = torch.nn.functional.conv2d(x, conv1.weight, conv1.bias, 3), conv1.convolve_blocks(x)
    plain, blocks = (
        [y, *torch.autograd.grad(y.square().sum(), [x, *conv1.parameters()])] for y in outputs
    )
    for mine, theirs in zip(blocks, plain, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)

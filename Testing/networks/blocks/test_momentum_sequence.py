from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_gradients import WAYS
from momentumseg.networks.blocks.momentum_sequence import (
    MomentumSequence,
    MomentumSettings,
    lost_digits,
    momentum_chain,
)

each_way = pytest.mark.parametrize("way", WAYS)
saving_ways = pytest.mark.parametrize("way", ["reversible", "checkpoint"])


def _branch(channels: int = 4, norm: type[nn.Module] = nn.BatchNorm2d, drop: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        norm(channels),
        nn.Tanh(),
        nn.Dropout(drop),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


class _Block(nn.Module):
    """A whole block with a ReLU after the sum, as in ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _branch()

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


def _sequence(way: str, count: int = 6, momentum: float = 0.9, dtype: torch.dtype = torch.float64, **options: object):
    torch.manual_seed(0)
    return MomentumSequence([_branch(**options) for _ in range(count)], MomentumSettings(momentum, way)).to(dtype)


def _images(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _gradients(sequence: nn.Module, features: Tensor, seed: int = 3) -> list[Tensor]:
    """Of a loss in which no two cells count alike: input first, then all parameters."""
    torch.manual_seed(seed)
    features = features.clone().requires_grad_()
    sequence.zero_grad()
    output = sequence(features)
    (output.double() * torch.sin(torch.arange(output.numel()).reshape(output.shape))).sum().backward()
    return [features.grad, *(parameter.grad for parameter in sequence.parameters())]


def _worst(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest relative error; a bias in front of a normalisation has no gradient, so all are measured by the whole."""
    whole = torch.cat([value.flatten() for value in expected]).norm()
    parts = zip(found, expected, strict=True)
    return float(max((a - b).norm() / torch.maximum(b.norm(), 1e-3 * whole) for a, b in parts))


@each_way
@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_a_sequence_is_the_equations_of_the_paper(way: str, momentum: float) -> None:
    sequence, x = _sequence(way, 3, momentum).eval(), _images()

    found, speed = sequence.advance(x.clone().requires_grad_())

    v = torch.zeros_like(x)
    for f in sequence:
        v = momentum * v + (1 - momentum) * f(x)
        x = x + v
    torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(speed, v, rtol=1e-12, atol=1e-12)


def test_without_momentum_it_is_the_plain_residual_network_to_the_last_bit() -> None:
    sequence, x = _sequence("automatic", 4, 0.0, torch.float32).eval(), _images(torch.float32)

    found, velocity = sequence.advance(x)

    for f in sequence:
        x = x + f(x)
    assert torch.equal(found, x) and velocity is None


def test_without_momentum_whole_blocks_are_run_as_they_are() -> None:
    """x + (block(x) - x) would differ in the last bits."""
    torch.manual_seed(0)
    blocks = [_Block().eval() for _ in range(4)]
    x = _images(torch.float32)
    found = MomentumSequence(blocks, MomentumSettings(0.0), of_blocks=True)(x)
    assert torch.equal(found, nn.Sequential(*blocks)(x))


@saving_ways
@pytest.mark.parametrize(("momentum", "count"), [(0.6, 6), (0.9, 12), (0.99, 12)])
def test_all_ways_give_the_same_gradients(way: str, momentum: float, count: int) -> None:
    expected = _gradients(_sequence("autograd", count, momentum), _images())
    assert _worst(_gradients(_sequence(way, count, momentum), _images()), expected) < 1e-9


@saving_ways
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_gradients_of_32_blocks_agree_in_single_precision(way: str, activation: type[nn.Module]) -> None:
    """The issue's bound. A state in single precision uses it up; and where x differs in the last bit between the ways,
    one of some hundred thousand ReLUs switches, which is seen as 1e-4."""

    def run(kind: str) -> tuple[Tensor, list[Tensor]]:
        sequence = _sequence(kind, 32, 0.9, torch.float32, channels=16)
        for block in sequence:
            block[2] = activation()
        images = torch.randn(2, 16, 32, 32, generator=torch.Generator().manual_seed(1))
        return sequence(images).detach(), _gradients(sequence, images)

    (output, found), (expected_output, expected) = run(way), run("autograd")
    assert torch.equal(output, expected_output)
    assert _worst(found, expected) < 1e-5


def test_the_reversible_gradient_is_the_derivative() -> None:
    """Against finite differences, through x and v at both ends."""
    sequence = _sequence("reversible", 3, 0.7)
    x, v = (_images().requires_grad_(), (0.1 * _images().flip(0)).requires_grad_())
    for block in sequence:
        block[1].track_running_stats = False  # finite differences run it many times
    assert torch.autograd.gradcheck(sequence.advance, (x[:1, :, :3, :3], v[:1, :, :3, :3]), atol=1e-6)


@saving_ways
def test_whole_blocks_have_the_same_gradients(way: str) -> None:
    def build(kind: str) -> MomentumSequence:
        torch.manual_seed(0)
        lead = nn.Conv2d(4, 4, 1)
        blocks = [lead, *(_Block() for _ in range(4))]
        return MomentumSequence(blocks, MomentumSettings(0.8, kind), lead=1, of_blocks=True).double()

    assert _worst(_gradients(build(way), _images()), _gradients(build("autograd"), _images())) < 1e-9


def test_inverse_after_forward_is_the_identity() -> None:
    sequence = _sequence("reversible", 6, 0.8).eval()
    x, v = _images(), 0.1 * _images().flip(1)
    with torch.no_grad():
        after = sequence.advance(x, v)
    for found, expected in zip(sequence.inverse(*after), (x, v), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@saving_ways
@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_updated_once(way: str, training: bool) -> None:
    plain, saving = _sequence("autograd", 4).train(training), _sequence(way, 4).train(training)
    for sequence in (plain, saving):
        _gradients(sequence, _images())
    assert int(saving[0][1].num_batches_tracked) == int(training)
    for found, expected in zip(saving.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@saving_ways
def test_dropout_is_replayed_and_later_draws_are_not_disturbed(way: str) -> None:
    found = _gradients(_sequence(way, 5, drop=0.4), _images())
    after = torch.rand(3)
    expected = _gradients(_sequence("autograd", 5, drop=0.4), _images())
    assert _worst(found, expected) < 1e-9
    assert torch.equal(after, torch.rand(3))


@saving_ways
def test_frozen_and_unused_parameters_get_no_gradient(way: str) -> None:
    def run(kind: str) -> tuple[MomentumSequence, list[Tensor | None]]:
        sequence = _sequence(kind, 3)
        sequence[1][0].requires_grad_(False)
        sequence[2].register_parameter("unused", nn.Parameter(torch.zeros(2)))
        sequence(_images()).square().sum().backward()  # the input has no gradient either
        return sequence, [parameter.grad for parameter in sequence.parameters()]

    sequence, found = run(way)
    _, expected = run("autograd")
    assert [value is None for value in found] == [value is None for value in expected]
    assert sequence[1][0].weight.grad is None and sequence[2].unused.grad is None
    for a, b in zip(found, expected, strict=True):
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


@saving_ways
def test_only_the_input_may_want_a_gradient(way: str) -> None:
    found, expected = _sequence(way).requires_grad_(False), _sequence("autograd").requires_grad_(False)
    a, b = _images().requires_grad_(), _images().requires_grad_()
    found(a).square().sum().backward()
    expected(b).square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9)


@saving_ways
def test_a_block_that_occurs_twice_gets_both_gradients(way: str) -> None:
    def build(kind: str) -> MomentumSequence:
        torch.manual_seed(0)
        shared, other = _branch(norm=nn.Identity), _branch(norm=nn.Identity)
        return MomentumSequence([shared, other, shared], MomentumSettings(0.7, kind)).double()

    assert _worst(_gradients(build(way), _images()), _gradients(build("autograd"), _images())) < 1e-9


@saving_ways
def test_a_sequence_may_be_a_block_of_another(way: str) -> None:
    def build(outer: str, inner: str) -> MomentumSequence:
        torch.manual_seed(0)
        inside = MomentumSequence([_branch(drop=0.2) for _ in range(2)], MomentumSettings(0.8, inner))
        blocks = [_branch(), nn.Sequential(nn.Conv2d(4, 4, 1), inside), _branch()]
        return MomentumSequence(blocks, MomentumSettings(0.9, outer)).double()

    nested = build(way, "reversible")
    assert _worst(_gradients(nested, _images()), _gradients(build("autograd", "autograd"), _images())) < 1e-9
    assert int(nested[1][1][0][1].num_batches_tracked) == 1


def test_backward_can_be_repeated() -> None:
    sequence, x = _sequence("reversible"), _images().requires_grad_()
    loss = sequence(x).square().sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, x)[0], first)


def test_hooks_of_parameters_see_the_whole_gradient_once() -> None:
    sequence, calls = _sequence("reversible", 4), []
    shared = MomentumSequence([*sequence, sequence[2]], sequence.settings)
    sequence[2][0].weight.register_hook(lambda gradient: calls.append(gradient.clone()))
    shared(_images()).square().sum().backward()
    assert len(calls) == 1 and torch.equal(calls[0], sequence[2][0].weight.grad)


@each_way
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_runs_without_gradients(way: str, mode: Callable[[], object]) -> None:
    sequence = _sequence(way).eval()
    expected = sequence(_images().requires_grad_())
    with mode():
        found = sequence(_images())
    assert not found.requires_grad
    torch.testing.assert_close(found.clone(), expected.detach(), rtol=1e-12, atol=1e-12)


@each_way
@pytest.mark.parametrize("backward_inside", [False, True])
def test_mixed_precision_keeps_the_state_in_single_precision(way: str, backward_inside: bool) -> None:
    """f in bfloat16 moves x by steps that bfloat16 cannot add to x; weights that were cast keep their gradient."""
    sequence = _sequence(way, 4, 0.9, torch.float32, norm=nn.Identity)
    x = (100 + _images(torch.bfloat16)).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, velocity = sequence.advance(x)
        if backward_inside:
            found.sum().backward()
    if not backward_inside:
        found.sum().backward()
    assert found.dtype == velocity.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert x.grad.dtype == torch.bfloat16
    assert all(value.grad is not None and value.grad.dtype == torch.float32 for value in sequence.parameters())


@saving_ways
def test_mixed_precision_has_the_gradients_of_mixed_precision(way: str) -> None:
    def run(kind: str) -> list[Tensor]:
        sequence = _sequence(kind, 4, 0.9, torch.float32, norm=nn.Identity)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = sequence(_images(torch.float32))
        output.square().sum().backward()
        return [value.grad for value in sequence.parameters()]

    assert _worst(run(way), run("autograd")) < 2e-2  # bfloat16 has three digits


@each_way
def test_a_network_in_half_precision_stays_in_it(way: str) -> None:
    sequence = _sequence(way, 3, 0.9, torch.bfloat16, norm=nn.Identity)
    found, velocity = sequence.advance(_images(torch.bfloat16).requires_grad_())
    found.sum().backward()
    assert found.dtype == velocity.dtype == sequence[0][0].weight.grad.dtype == torch.bfloat16


def test_what_is_stored_does_not_grow_with_the_blocks() -> None:
    def stored(way: str, count: int) -> int:
        sizes: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            if not isinstance(value, nn.Parameter):
                sizes[value.data_ptr()] = value.numel() * value.element_size()
            return value

        sequence = _sequence(way, count, norm=nn.Identity)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            output = sequence(_images())
        assert output.requires_grad
        return sum(sizes.values())

    assert stored("reversible", 12) == stored("reversible", 3)
    assert stored("checkpoint", 12) > stored("checkpoint", 3)
    assert stored("autograd", 12) > 3 * stored("autograd", 3)


@pytest.mark.parametrize(
    ("momentum", "count", "way"),
    [
        (0.9, 43, "reversible"),
        (0.9, 44, "checkpoint"),
        (0.5, 6, "reversible"),
        (0.5, 7, "checkpoint"),
        (0, 4, "autograd"),
    ],
)
def test_automatic_asks_whether_the_inverse_is_accurate(momentum: float, count: int, way: str) -> None:
    assert MomentumSettings(momentum).way(count) == way


def test_digits_that_the_inverse_loses() -> None:
    assert lost_digits(4, 0.1) == pytest.approx(4)
    assert lost_digits(3, 0.0) == float("inf")


@pytest.mark.parametrize("momentum", [1.0, 1.5, -0.1, float("nan")])
def test_a_momentum_outside_zero_and_one_is_refused(momentum: float) -> None:
    with pytest.raises(InputError, match="momentum is"):
        MomentumSettings(momentum)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: MomentumSettings(0.9, "magic"), "no differentiation 'magic'"),
        (lambda: MomentumSettings(0.0, "reversible"), "no inverse"),
        (lambda: _sequence("reversible", 9, 0.3), "9 blocks with momentum 0.3"),
        (lambda: _sequence("automatic", 2, 0.0).inverse(_images(), _images()), "no inverse"),
    ],
)
def test_what_cannot_run_is_refused_in_words(build: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build()


@each_way
def test_a_block_that_writes_into_its_input_is_refused(way: str) -> None:
    sequence = MomentumSequence([nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))], MomentumSettings(0.9, way))
    with pytest.raises(InputError, match="Block 1 of a momentum sequence writes into its input"):
        sequence(_images(torch.float32).requires_grad_() * 1)


@each_way
def test_a_block_that_changes_the_shape_is_refused(way: str) -> None:
    sequence = MomentumSequence([_branch(), nn.Conv2d(4, 4, 3)], MomentumSettings(0.9, way))
    with pytest.raises(InputError, match="Block 2 .* keep the shape"):
        sequence(_images(torch.float32))


def test_an_empty_sequence_changes_nothing() -> None:
    x = _images()
    assert momentum_chain([], x, settings=MomentumSettings(0.9)) == (x, None)


def test_names_are_those_of_a_sequential_and_copies_are_independent() -> None:
    sequence = _sequence("reversible", 2)
    assert set(sequence.state_dict()) == set(nn.Sequential(*[_branch(), _branch()]).state_dict())
    twin = copy.deepcopy(sequence)
    with torch.no_grad():
        twin[0][0].weight.zero_()
    assert bool(sequence[0][0].weight.any())


@pytest.fixture
def a_process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@saving_ways
@pytest.mark.usefixtures("a_process_group")
def test_data_parallel_training_sees_every_gradient_once(way: str) -> None:
    """DistributedDataParallel raises where a parameter reports twice, and on the next step where one never does."""
    parallel = nn.parallel.DistributedDataParallel(_sequence(way, 3))
    for _ in range(2):
        found = _gradients(parallel, _images())
    assert _worst(found, _gradients(_sequence("autograd", 3), _images())) < 1e-9

"""How much memory the operations of a step move, against counts by hand."""

import torch
from click.testing import CliRunner
from torch import nn

from scripts.benchmark.__main__ import main
from scripts.benchmark.traffic import step_traffic

VALUES = 2 * 4 * 8 * 8


class Operation(nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


def moved(operation) -> float:
    """Bytes per value of the batch that a step moves with an operation and not without."""
    with_it, without = (
        step_traffic(Operation(forward), torch.zeros(2, 4, 8, 8, device="meta", requires_grad=True)).moved_bytes
        for forward in (lambda x: operation(x * 1.0), lambda x: x * 1.0)
    )
    return (with_it - without) / VALUES


def test_an_operation_reads_its_input_and_writes_its_output_in_both_directions():
    # forward: four bytes read, four written; backward: the output and its gradient read, the input's gradient written
    assert moved(torch.sigmoid) == 8 + 12


def test_a_view_moves_nothing():
    assert moved(lambda x: x.flatten(1).unflatten(1, (4, 8, 8))) == 0


def test_what_is_broadcast_is_read_once():
    few = torch.zeros(1, 1, 8, 8, device="meta")
    assert moved(lambda x: x * few.expand(2, 4, 8, 8)) == 2 * (8 + 4 / 8)


def test_what_is_given_as_output_is_written_and_not_read():
    with torch.no_grad():
        out, other = torch.zeros(2, 4, 8, 8, device="meta"), torch.ones(2, 4, 8, 8, device="meta")
    assert moved(lambda x: x + torch.neg(other, out=out).detach()) - moved(lambda x: x + other) == 8


def test_the_section_of_the_benchmark(tmp_path):
    output = tmp_path / "cost.jsonl"
    result = CliRunner().invoke(main, ["--sections", "traffic", "--size", "tiny", "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "EGE, full" in result.output
    assert "problem" not in result.output

"""What torch.compile is asked, on every version of it."""

import pytest
import torch

from vssl.learner.compiled import torch_compile_arguments


@pytest.fixture
def unlimited():
    """Puts back the limit that older versions of torch hold for the whole process."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(cache_size_limit=torch._dynamo.config.cache_size_limit):
        yield
    torch.compiler.reset()


@pytest.mark.parametrize(("limit", "compiled"), [(3, 3), (12, 11)])
def test_the_limit_of_versions_is_kept_whether_or_not_torch_compile_takes_it(unlimited, limit, compiled):
    sizes = []

    def recording_backend(graph, example_inputs):
        sizes.append(len(example_inputs[0]))
        return graph

    options = torch_compile_arguments({"recompile_limit": limit, "dynamic": False})
    double = torch.compile(lambda x: 2 * x, backend=recording_backend, **options)
    for size in range(2, 13):
        assert torch.equal(double(torch.ones(size)), torch.full((size,), 2.0))
    assert sizes == list(range(2, 2 + compiled))  # torch runs the others as written


def test_other_arguments_pass_as_they_are():
    options = {"backend": "aot_eager", "fullgraph": True}
    assert torch_compile_arguments(options) == options

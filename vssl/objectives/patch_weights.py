"""How much each hidden patch counts in its view's loss, where a designer says so (`Views.patch_weights`)."""

from jaxtyping import Float, Int
from torch import Tensor

from vssl.objectives.patch_masks import check_scores


def relative_weights(
    weights: Float[Tensor, "rows patches"], predicted: Int[Tensor, " predictions"], patches: int
) -> Float[Tensor, " predictions"]:
    """The weights of what is predicted, each over their mean in its row; equal weights give 1 to the last bit.

    Args:
        weights: positive.
        predicted: indices in ``weights.flatten()``.
        patches: how many the backbone has.

    Raises:
        ValueError: not one weight for each patch.
    """
    check_scores(weights, patches)
    given, row = weights.flatten()[predicted], predicted // weights.shape[1]
    return given / row_means(given, row, len(weights))[row]


def row_means(
    values: Float[Tensor, " predictions"], row: Int[Tensor, " predictions"], rows: int
) -> Float[Tensor, " rows"]:
    """Mean of the values of each row, 0 where a row has none."""
    count = values.new_zeros(rows).index_add(0, row, values.new_ones(len(values)))
    return values.new_zeros(rows).index_add(0, row, values) / count.clamp(min=1)

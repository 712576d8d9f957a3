"""How unknown keys are named."""

import pytest

from vssl.known_keys import nearest, refuse_unknown


def test_every_unknown_key_is_named_with_the_nearest_known_one():
    refuse_unknown(["rate"], ["rate", "steps"], "run")
    with pytest.raises(ValueError, match=r"^run: unknown key 'Rtae' \(did you mean 'rate'\?\); known: rate, steps$"):
        refuse_unknown(["steps", "Rtae"], ["steps", "rate"], "run")
    with pytest.raises(Refused, match=r"^run: unknown keys 'a', 'stepz' \(did you mean 'steps'\?\); known: steps$"):
        refuse_unknown(["a", "stepz"], ["steps"], "run", Refused)


class Refused(ValueError):
    pass


def test_upper_and_lower_case_are_the_same():
    assert nearest("miou", ["RMSE", "mIoU"]) == "; did you mean 'mIoU'?"
    assert nearest("x", ["RMSE"]) == ""

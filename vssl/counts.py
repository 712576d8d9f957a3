"""Numbers of things, in messages and on pages."""


def counted(number: int, noun: str) -> str:
    """``"3 images"``, ``"1 image"``. The noun may have words before it: ``"3 other shapes"``.

    Args:
        noun: one of them; ``"es"`` is put to one that ends in s, sh, ch or x.
    """
    ending = "es" if noun.endswith(("s", "sh", "ch", "x")) else "s"
    return f"{number} {noun}{'' if number == 1 else ending}"

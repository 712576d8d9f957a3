"""Operations in plain words."""

# Name of the magnitude or gate -> what it is called, and what more of it does to the images.
WORDS = {
    "area": ("size of the crop", "smaller parts of the image are looked at"),
    "log_ratio": ("shape of the crop", "crops are more oblong, and squeezed into a square"),
    "flip": ("mirroring", "more images are mirrored left to right"),
    "jitter": ("colour jitter as a whole", "brightness, contrast, saturation and hue change in more images"),
    "brightness": ("brightness", "images are made darker and brighter"),
    "contrast": ("contrast", "images get flatter and harder contrast"),
    "saturation": ("saturation", "colours are made paler and stronger"),
    "hue": ("hue", "colours are turned around the colour circle"),
    "grayscale": ("loss of colour", "more images lose all colour"),
    "blur": ("blur", "more images are blurred"),
    "solarize": ("solarizing", "bright pixels are inverted"),
    "perspective": ("perspective", "images are seen from the side"),
    "rotate": ("rotation", "images are turned"),
    "scale": ("zoom", "images are made larger and smaller"),
    "shear_x": ("sideways shear", "images are slanted sideways"),
    "shear_y": ("vertical shear", "images are slanted up and down"),
    "translate_x": ("sideways shift", "images are moved sideways"),
    "translate_y": ("vertical shift", "images are moved up and down"),
    "cutout": ("cutout", "a square of the image is covered"),
    "equalize": ("equalizing", "brightness is spread evenly over its range"),
    "gamma": ("gamma", "middle tones are made darker and brighter"),
    "noise": ("noise", "pixels get random noise"),
    "planckian": ("colour of the light", "the light is made warmer and colder"),
    "posterize": ("posterizing", "fewer shades of each colour are left"),
    "sharpness": ("sharpness", "edges are made softer and sharper"),
}


def title(name: str) -> str:
    """What an operation is called; its own name where nobody gave it another."""
    return WORDS[name][0] if name in WORDS else name


def doing(name: str) -> str:
    """What more of it does, as a clause."""
    return WORDS[name][1] if name in WORDS else f"{name} is applied more"


def listed(names: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "nothing"

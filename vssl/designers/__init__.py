"""Designers φ: they make the views and masks of a batch. They see images, never labels."""

from vssl.designers.base import Construction, Designer, Identity
from vssl.designers.candidates import CandidateDesigner
from vssl.designers.choice import Choice
from vssl.designers.dit import DiTMask
from vssl.designers.garrote import Garrote
from vssl.designers.image_weights import ImageWeights
from vssl.designers.loss_weights import LossWeights
from vssl.designers.loss_weights_file import SavedLossWeights, save_loss_weights
from vssl.designers.mask_ratio import MaskRatio
from vssl.designers.masked_policy import MaskedPolicy
from vssl.designers.policies import GlobalPolicy, InstancePolicy
from vssl.designers.search import CandidateSearch
from vssl.designers.source_weights import SourceWeights
from vssl.designers.together import Together
from vssl.designers.token_mask import TokenMask
from vssl.designers.token_mask_file import SavedTokenMask, save_token_mask
from vssl.designers.unet import UNetMask

__all__ = [
    "CandidateDesigner",
    "CandidateSearch",
    "Choice",
    "Construction",
    "Designer",
    "DiTMask",
    "Garrote",
    "GlobalPolicy",
    "Identity",
    "ImageWeights",
    "InstancePolicy",
    "LossWeights",
    "MaskRatio",
    "MaskedPolicy",
    "SavedLossWeights",
    "SavedTokenMask",
    "SourceWeights",
    "Together",
    "TokenMask",
    "UNetMask",
    "save_loss_weights",
    "save_token_mask",
]

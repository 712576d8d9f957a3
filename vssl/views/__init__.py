"""Task construction: fixed recipes, the differentiable augmentation space and policies over it."""

from vssl.views.crops import Views
from vssl.views.policy_file import SavedRecipe, save_policy
from vssl.views.recipes import MultiCrop, Recipe
from vssl.views.view_plan import GatedOp, ViewPlan

__all__ = ["GatedOp", "MultiCrop", "Recipe", "SavedRecipe", "ViewPlan", "Views", "save_policy"]

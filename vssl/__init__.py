"""vssl: continued self-supervised pretraining whose task is designed by downstream feedback (V-Pretraining)."""

__version__ = "0.1.0"

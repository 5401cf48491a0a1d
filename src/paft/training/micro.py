"""Where micro-batches stood before rows could be packed; scripts outside of the project import them from here."""

from paft.training.packing.micro import Item, pack, pad

__all__ = ["Item", "pack", "pad"]

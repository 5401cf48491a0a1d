"""Where the loss stood before rows could be packed; scripts outside of the project import it from here."""

from paft.training.packing.loss import accepted_inputs, answer_losses

__all__ = ["accepted_inputs", "answer_losses"]

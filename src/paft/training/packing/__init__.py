"""How rows are laid out in a forward pass: padded or packed, the loss of their answers, and the check that lets a run
pack them."""

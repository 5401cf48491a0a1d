"""Ways to pick one prompt for fine-tuning: what PAFT is compared with. None of them trains."""

"""Tables and pictures from saved records; never needs a model."""

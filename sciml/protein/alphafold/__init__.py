"""AlphaFold 2: features, network, losses, weights, predictions."""

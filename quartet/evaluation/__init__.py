"""How a trained model of each family is scored, one file per family."""

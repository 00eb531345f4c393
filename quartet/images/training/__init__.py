"""Train the image classifier."""

"""Data as more than one family reads it: images, splits, augmentation, tokenizers, batches."""

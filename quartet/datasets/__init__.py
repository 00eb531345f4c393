"""Data code that several families share: images, splits, augmentation, tokenizers, batches."""

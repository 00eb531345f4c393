"""Images, sequences and text: sources, splits, whole-batch augmentation, seeded batches."""

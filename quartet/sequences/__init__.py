"""The sequence family: series, passages or images in steps, and recurrent networks that tell their classes."""

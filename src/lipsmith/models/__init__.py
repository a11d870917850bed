"""Networks and their frozen configs: tensors in, tensors out, no files."""

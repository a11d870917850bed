"""Networks and their frozen configs: tensors in, tensors out. Only `vgg` and `third_party` read files."""

"""Networks and their frozen configs: tensors in, tensors out. Of files only `vgg` and `third_party` know."""

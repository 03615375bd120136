"""The equations of each method, as pure functions of tensors."""

"""What the back ends of TensorRT and of TensorRT for RTX share. Each hands in its own module, always as `trt`."""

"""What the machine does: NVML, torch's allocator and psutil behind one Probe."""

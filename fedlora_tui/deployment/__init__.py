"""A federation on several machines: its folder, its keys and certificates, and the check of every link."""
